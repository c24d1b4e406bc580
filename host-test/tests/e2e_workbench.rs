//! The workbench: the page of the control listener in a real Chromium, with a real Envoy behind it.

use anyhow::{Context, Result};
use host_test::{
    browser::{Browser, Screen},
    client::Ask,
    fake::peer,
    lab::{CONTROL, Lab, READ_TOKEN, WRITE_TOKEN},
};
use serde_json::{Value, json};
use std::{env, fs, io::Read, net::IpAddr, path::Path};

const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';
const ESCAPE: char = '\u{e00c}';

/// A lab with a control listener, whose peers are known; and a browser, where there is one.
async fn stage(workers: u16) -> Result<Option<(Lab, Browser)>> {
    let Some(browser) = Browser::start().await? else { return Ok(None) };
    let changes = json!({
        "journal": {"entries": 1024},
        "api": {"budget": {"per_day": 1000, "reserve_for_events": 100}, "concurrency": 8},
    });
    let lab = Lab::with(changes).control().workers(workers).start().await?;
    for peer in [peer::CRITICAL, peer::ATTACK, peer::TOR, peer::VPN, peer::SCANNER, peer::CLEAN] {
        lab.ask(peer).send().await?;
    }
    // The main thread is one of them.
    lab.wait_for_workers(usize::from(workers) + 1).await?;
    Ok(Some((lab, browser)))
}

async fn sign_in(lab: &Lab, browser: &Browser, token: &str) -> Result<()> {
    browser.open(&format!("http://{}/", lab.address(CONTROL))).await?;
    browser.type_into("#token", token).await?;
    browser.press(&[ENTER]).await?;
    browser.find("#work").await?;
    Ok(())
}

fn row(peer: IpAddr) -> String {
    format!("#peer-rows tr[data-key='{peer}']")
}

/// What the console complained of, but for what was refused on purpose.
async fn complaints(browser: &Browser, expected: &str) -> Result<Vec<String>> {
    let said = browser.console().await?;
    Ok(said.into_iter().filter(|line| expected.is_empty() || !line.contains(expected)).collect())
}

#[tokio::test]
async fn unblocking_from_the_page_changes_what_the_proxy_does_on_every_worker() -> Result<()> {
    let Some((lab, browser)) = stage(3).await? else { return Ok(()) };
    browser.look_as(Screen::DESKTOP).await?;
    browser.open(&format!("http://{}/", lab.address(CONTROL))).await?;
    browser.type_into("#token", "not-the-right-token").await?;
    browser.press(&[ENTER]).await?;
    browser.until("return document.getElementById('problem').textContent === 'The token is not right.'").await?;
    browser.type_into("#token", WRITE_TOKEN).await?;
    browser.press(&[ENTER]).await?;

    // The worst first, with why, and the way to the report.
    let critical = row(peer::CRITICAL);
    browser.find(&critical).await?;
    let first = browser.run("return document.querySelector('#peer-rows tr').innerText", json!([])).await?;
    let first = first.as_str().context("text")?.to_owned();
    assert!(first.starts_with("100") && first.contains(&peer::CRITICAL.to_string()), "{first}");
    assert!(first.contains("denied") && first.contains("anonymity.tor") && first.contains("rule score-80"), "{first}");
    let link = browser.run(&format!("return document.querySelector(\"{critical} a\").href"), json!([])).await?;
    assert_eq!(link, format!("https://www.criminalip.io/asset/report/{}", peer::CRITICAL));

    assert_eq!(lab.status(peer::CRITICAL).await?, 403);
    browser.click(&format!("{critical} button")).await?;
    browser.type_into("#reason", "partner, <script>window.bad=1</script><img src=x onerror='window.bad=1'>").await?;
    browser.type_into("#owner", "netops").await?;
    browser.press(&[ENTER]).await?;
    browser.until("return document.getElementById('said').textContent === '192.0.2.50 is allowed.'").await?;
    for _ in 0..20 {
        lab.wait_for_status(peer::CRITICAL, 200).await?;
    }
    let listed = lab.operate("GET", "/v1/overrides", Value::Null, 200).await?["overrides"][0].clone();
    assert_eq!((&listed["action"], &listed["owner"]), (&json!("allow"), &json!("netops")));
    assert!(listed["until"].is_string(), "a day, unless it is said otherwise: {listed}");
    // What people write is shown as they wrote it.
    let shown = browser.until("return document.querySelector('#override-list li')?.innerText").await?;
    assert!(shown.as_str().is_some_and(|shown| shown.contains("<script>window.bad=1</script><img")), "{shown}");
    assert_eq!(browser.run("return window.bad === undefined", json!([])).await?, json!(true));
    browser
        .until(&format!("return document.querySelector(\"{critical}\").innerText.includes('override by netops')"))
        .await?;

    // And back, by the same button.
    browser.click(&format!("{critical} button")).await?;
    browser.type_into("#reason", "mistake").await?;
    browser.press(&[ENTER]).await?;
    lab.wait_for_status(peer::CRITICAL, 403).await?;
    browser.until("return document.getElementById('audit-list').innerText.includes('override deleted')").await?;
    // Someone who is not bad can be blocked as well.
    browser.type_into("#search", &peer::CLEAN.to_string()).await?;
    browser.click(&format!("{} button", row(peer::CLEAN))).await?;
    browser.type_into("#reason", "incident 42").await?;
    browser.press(&[ENTER]).await?;
    lab.wait_for_status(peer::CLEAN, 403).await?;
    // Answered with 401 and 404, as a browser's console has it.
    let complaints = complaints(&browser, "Failed to load resource").await?;
    assert!(complaints.is_empty(), "{complaints:?}");
    Ok(())
}

#[tokio::test]
async fn the_page_shows_events_as_they_go_on_and_filters_peers() -> Result<()> {
    let Some((lab, browser)) = stage(1).await? else { return Ok(()) };
    browser.look_as(Screen::DESKTOP).await?;
    sign_in(&lab, &browser, READ_TOKEN).await?;
    browser.until("return document.getElementById('event-list').innerText.includes('No event')").await?;
    let id = lab.hand_in(json!({"type": "other", "note": "seen in a log"})).await?;
    // It comes by itself.
    let event = format!("#event-list li[data-key='{id}']");
    browser.click(&format!("{event} summary")).await?;
    lab.wait_until_done(&id).await?;
    let told = browser
        .until(&format!(
            "const text = document.querySelector(\"{event}\").innerText; return text.includes('all settled') && text.includes('192.0.2.50') && text"
        ))
        .await?;
    let told = told.as_str().context("text")?;
    for part in ["seen in a log", "looked back 5m", "handed in by write token", "denied by policy", "192.0.2.50"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let open = format!("return document.querySelector(\"{event} details\").open");
    assert_eq!(browser.run(&open, json!([])).await?, json!(true), "it stays open");

    let rows = "return [...document.querySelectorAll('#peer-rows tr')].map(row => row.dataset.key)";
    browser.until("return document.querySelectorAll('#peer-rows tr').length === 1").await?;
    assert_eq!(browser.run(rows, json!([])).await?, json!(["192.0.2.50"]));
    browser
        .run(
            "const s = document.getElementById('threshold'); s.value = '60'; s.dispatchEvent(new Event('change'))",
            json!([]),
        )
        .await?;
    browser.until("return document.querySelectorAll('#peer-rows tr').length === 4").await?;
    browser.press(&['/']).await?;
    browser.press(&"vpn".chars().collect::<Vec<_>>()).await?;
    browser.until("return document.querySelectorAll('#peer-rows tr').length === 1").await?;
    assert_eq!(browser.run(rows, json!([])).await?, json!([peer::VPN.to_string()]));
    // Whoever may only read is told so.
    browser.click(&format!("{} button", row(peer::VPN))).await?;
    browser.type_into("#reason", "because").await?;
    browser.type_into("#owner", "me").await?;
    browser.press(&[ENTER]).await?;
    browser.until("return document.getElementById('refused').textContent.includes('for reading only')").await?;
    Ok(())
}

/// Whatever has text and is not dark or light enough against what is behind it, with its contrast.
const CONTRAST: &str = r"
const parse = text => text.match(/[\d.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
const behind = node => { for (; node; node = node.parentElement) {
  const color = parse(getComputedStyle(node).backgroundColor); if (color.length === 3 || color[3] === 1) return color; } };
const poor = [];
for (const node of document.querySelectorAll('body *')) {
  const text = [...node.childNodes].some(child => child.nodeType === 3 && child.textContent.trim());
  if (!text || !node.checkVisibility() || /SCRIPT|STYLE|OPTION/.test(node.tagName)) continue;
  const [one, other] = [light(parse(getComputedStyle(node).color)), light(behind(node))].sort((a, b) => b - a);
  const ratio = (one + .05) / (other + .05);
  if (ratio < 4.5) poor.push(`${node.tagName} ${node.className} ${node.textContent.slice(0, 30)}: ${ratio.toFixed(2)}`);
}
return poor;";

#[tokio::test]
async fn the_page_fits_phones_and_desktops_light_and_dark_and_can_be_read() -> Result<()> {
    let Some((lab, browser)) = stage(1).await? else { return Ok(()) };
    let id = lab.hand_in(json!({"type": "other", "note": "phishing mail, reported by a user"})).await?;
    lab.wait_until_done(&id).await?;
    let denied = json!({"action": "deny", "owner": "soc", "reason": "incident 42, a botnet's controllers", "until": "2099-01-01T00:00:00Z"});
    lab.operate("PUT", "/v1/overrides/203.0.113.0/24", denied, 201).await?;
    browser.look_as(Screen::DESKTOP).await?;
    sign_in(&lab, &browser, WRITE_TOKEN).await?;
    browser
        .run(
            "const s = document.getElementById('threshold'); s.value = ''; s.dispatchEvent(new Event('change'))",
            json!([]),
        )
        .await?;
    browser.until("return document.querySelectorAll('#peer-rows tr').length === 6").await?;
    browser.click("#event-list summary").await?;
    browser.until("return document.getElementById('event-list').innerText.includes('all settled')").await?;
    // Enough for the charts to have something to show.
    for _ in 0..3 {
        let drawn = "return document.querySelectorAll('#lookups-chart rect').length";
        let before = browser.run(drawn, json!([])).await?.as_u64().unwrap_or(0);
        for peer in [peer::CRITICAL, peer::TOR, peer::TOR, peer::CLEAN, peer::CLEAN, peer::CLEAN, peer::CLEAN] {
            lab.ask(peer).send().await?;
        }
        browser.until(&format!("{drawn} > {before}")).await?;
    }
    for screen in [Screen::DESKTOP, Screen::PHONE] {
        for dark in [false, true] {
            browser.look_as(Screen { dark, ..screen }).await?;
            let fits = "return document.documentElement.scrollWidth <= window.innerWidth";
            assert_eq!(browser.run(fits, json!([])).await?, json!(true), "{screen:?} must not scroll sideways");
            let poor = browser.run(CONTRAST, json!([])).await?;
            assert_eq!(poor, json!([]), "{screen:?}, dark {dark}");
            let name = format!(
                "{}-{}.png",
                if screen.phone { "phone" } else { "desktop" },
                if dark { "dark" } else { "light" }
            );
            if let Some(folder) = env::var_os("PORTCULLIS_PICTURES") {
                fs::write(Path::new(&folder).join(name), browser.picture().await?)?;
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_page_works_without_a_mouse_and_names_everything() -> Result<()> {
    let Some((lab, browser)) = stage(1).await? else { return Ok(()) };
    browser.look_as(Screen::DESKTOP).await?;
    sign_in(&lab, &browser, WRITE_TOKEN).await?;
    // Anew, so that it begins at its beginning, and nobody has to sign in again.
    browser.open(&format!("http://{}/", lab.address(CONTROL))).await?;
    browser.find(&row(peer::CRITICAL)).await?;
    // In the order in which one reads.
    for expected in [
        "Skip to the peers",
        "Peers",
        "Events",
        "Overrides",
        "Audit",
        "Live",
        "Sign out",
        "Score from",
        "Search",
        "192.0.2.50",
        "Unblock 192.0.2.50",
        "Add…",
    ] {
        browser.press(&[TAB]).await?;
        let focused = browser.focused().await?;
        let label = browser.of(&focused, "computedlabel").await?;
        assert!(label.as_str().is_some_and(|label| label.starts_with(expected)), "{expected}: {label}");
        if expected.starts_with("Unblock") {
            browser.press(&[ENTER]).await?;
            let reason = browser.focused().await?;
            assert_eq!(browser.of(&reason, "computedlabel").await?, json!("Reason"));
            let dialog = browser.find("#dialog").await?;
            assert_eq!(browser.of(&dialog, "computedrole").await?, json!("dialog"));
            assert_eq!(browser.of(&dialog, "computedlabel").await?, json!("Unblock 192.0.2.50"));
            browser.press(&[ESCAPE]).await?;
            let back = browser.focused().await?;
            assert_eq!(browser.of(&back, "computedlabel").await?, json!("Unblock 192.0.2.50"));
        }
    }
    // What is drawn anew meanwhile keeps the focus.
    browser.run(&format!("document.querySelector(\"{} button\").focus()", row(peer::CRITICAL)), json!([])).await?;
    let over = json!({"action": "allow", "owner": "x", "reason": "y", "until": null});
    lab.operate("PUT", "/v1/overrides/192.0.2.50", over, 201).await?;
    browser.run("document.getElementById('threshold').dispatchEvent(new Event('change'))", json!([])).await?;
    browser.until("return document.activeElement.textContent === 'Undo'").await?;
    for (selector, role) in [
        ("#peers", "region"),
        ("#peers table", "table"),
        ("#decisions-chart", "img"),
        ("#said", "status"),
        ("#search", "searchbox"),
    ] {
        let script =
            format!("return document.querySelector('{selector}').checkVisibility() || '{selector}' === '#said'");
        assert_eq!(browser.run(&script, json!([])).await?, json!(true), "{selector}");
        if selector != "#said" {
            let element = browser.find(selector).await?;
            let found = browser.of(&element, "computedrole").await?;
            assert!(found == json!(role) || (role == "img" && found == json!("image")), "{selector}: {found}");
            if role != "table" {
                assert_ne!(browser.of(&element, "computedlabel").await?, json!(""), "{selector}");
            }
        }
    }
    let unnamed = "return [...document.querySelectorAll('button, input, select, a')].filter(e => e.checkVisibility() && \
                   !(e.textContent.trim() || e.ariaLabel || e.labels?.length)).map(e => e.outerHTML)";
    assert_eq!(browser.run(unnamed, json!([])).await?, json!([]));
    Ok(())
}

#[tokio::test]
async fn the_page_is_served_to_whoever_asks_and_lets_nothing_in() -> Result<()> {
    let lab = Lab::with(json!({})).control().start().await?;
    let reply = Ask::new(lab.address(CONTROL), None).send().await?;
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = reply.header("content-security-policy").context("a policy")?;
    for part in [
        "default-src 'none'",
        "script-src 'sha256-",
        "style-src 'sha256-",
        "connect-src 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{part}: {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    let mut page = String::new();
    flate2::read::GzDecoder::new(reply.body.as_ref()).read_to_string(&mut page)?;
    assert!(page.contains("</html>"), "{page}");
    for secret in [READ_TOKEN, WRITE_TOKEN] {
        assert!(!page.contains(secret));
    }
    for (path, expected) in [("/v1/status", 401), ("/workbench.html", 401)] {
        assert_eq!(Ask::new(lab.address(CONTROL), None).path(path).send().await?.status.as_u16(), expected, "{path}");
    }
    Ok(())
}
