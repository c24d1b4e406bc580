//! A real Chromium, driven by WebDriver (<https://www.w3.org/TR/webdriver2/>) over plain HTTP to its chromedriver.

use crate::{PATIENCE, client::Ask, eventually};
use anyhow::{Context, Result, anyhow, bail, ensure};
use base64ct::{Base64, Encoding};
use serde_json::{Value, json};
use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// A browser with one window; it ends when dropped.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    to: SocketAddr,
    session: String,
    _profile: TempDir,
}

/// How a window is seen.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// In CSS pixels.
    pub width: u32,
    /// In CSS pixels.
    pub height: u32,
    /// Whether it is a phone's.
    pub phone: bool,
    /// Whether people prefer it dark.
    pub dark: bool,
}

impl Screen {
    /// A desktop's.
    pub const DESKTOP: Screen = Screen { width: 1280, height: 900, phone: false, dark: false };
    /// A phone's.
    pub const PHONE: Screen = Screen { width: 390, height: 844, phone: true, dark: false };
}

/// An element of the page.
#[derive(Clone, Debug)]
pub struct Element(String);

/// The key under which WebDriver names elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

impl Browser {
    /// Starts one, where Chromium and its chromedriver are on the path; `None` where they are not.
    ///
    /// # Errors
    /// When it does not start, or is missing although `PORTCULLIS_BROWSER` says that it has to be there.
    pub async fn start() -> Result<Option<Browser>> {
        let (Some(chromium), Some(driver)) = (on_path("chromium"), on_path("chromedriver")) else {
            ensure!(env::var_os("PORTCULLIS_BROWSER").is_none(), "chromium or chromedriver is not installed");
            eprintln!("ABSENT: chromium or chromedriver is not installed, so the page is not looked at");
            return Ok(None);
        };
        let profile = TempDir::new()?;
        let mut driver = Command::new(driver)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut said = BufReader::new(driver.stdout.take().context("its output")?);
        let port = loop {
            let mut line = String::new();
            ensure!(said.read_line(&mut line)? > 0, "chromedriver says no port");
            if let Some(port) = line.trim().strip_suffix('.').and_then(|line| line.split_once("on port ")) {
                break port.1.parse::<u16>()?;
            }
        };
        // It is read on, so that the driver is never held up.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--lang=en",
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let options = json!({"binary": chromium, "args": arguments});
        let wanted =
            json!({"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}});
        let to = SocketAddr::from(([127, 0, 0, 1], port));
        let mut browser = Browser { driver, to, session: String::new(), _profile: profile };
        let session = browser.call("POST", "/session", json!({"capabilities": {"alwaysMatch": wanted}})).await?;
        browser.session = format!("/session/{}", session["sessionId"].as_str().context("no session")?);
        Ok(Some(browser))
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> Result<Value> {
        let ask = Ask::new(self.to, None).path(path).header("host", self.to.to_string());
        let ask = match body {
            Value::Null => ask,
            body => ask.header("content-type", "application/json").post(body.to_string()),
        };
        let reply = ask.method(method.parse()?).send().await?;
        let mut answer: Value = serde_json::from_slice(&reply.body).with_context(|| reply.text())?;
        if !reply.status.is_success() {
            bail!("{method} {path}: {}: {}", answer["value"]["error"], answer["value"]["message"]);
        }
        Ok(answer["value"].take())
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> Result<Value> {
        self.call(method, &format!("{}{path}", self.session), body).await
    }

    /// Opens an address.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn open(&self, url: &str) -> Result<()> {
        self.ask("POST", "/url", json!({"url": url})).await?;
        Ok(())
    }

    /// Has the window be like this.
    ///
    /// # Errors
    /// When Chromium refuses.
    pub async fn look_as(&self, screen: Screen) -> Result<()> {
        let scheme = if screen.dark { "dark" } else { "light" };
        let metrics =
            json!({"width": screen.width, "height": screen.height, "deviceScaleFactor": 1, "mobile": screen.phone});
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        for (command, parameters) in
            [("Emulation.setDeviceMetricsOverride", metrics), ("Emulation.setEmulatedMedia", media)]
        {
            self.ask("POST", "/goog/cdp/execute", json!({"cmd": command, "params": parameters})).await?;
        }
        Ok(())
    }

    /// What this script returns; `arguments` are its.
    ///
    /// # Errors
    /// When it throws.
    pub async fn run(&self, script: &str, arguments: Value) -> Result<Value> {
        self.ask("POST", "/execute/sync", json!({"script": script, "args": arguments})).await
    }

    /// Waits until this script returns what counts as true, and gives it.
    ///
    /// # Errors
    /// When it does not within [`crate::PATIENCE`].
    pub async fn until(&self, script: &str) -> Result<Value> {
        eventually(async || {
            let value = self.run(script, json!([])).await?;
            ensure!(!matches!(value, Value::Null | Value::Bool(false)), "{script}: {value}");
            Ok(value)
        })
        .await
    }

    /// Waits for an element that this CSS selector finds and that is to be seen.
    ///
    /// # Errors
    /// When there is none within [`crate::PATIENCE`].
    pub async fn find(&self, selector: &str) -> Result<Element> {
        eventually(async || {
            let found = self.ask("POST", "/element", json!({"using": "css selector", "value": selector})).await?;
            let element = Element(found[ELEMENT].as_str().context("no element")?.to_owned());
            let seen = self.of(&element, "displayed").await?;
            ensure!(seen == json!(true), "{selector} is hidden");
            Ok(element)
        })
        .await
    }

    /// A click on an element.
    ///
    /// # Errors
    /// When something lies over it.
    pub async fn click(&self, selector: &str) -> Result<()> {
        // What is drawn anew between the two is found again.
        eventually(async || {
            let element = self.find(selector).await?;
            self.ask("POST", &format!("/element/{}/click", element.0), json!({})).await
        })
        .await?;
        Ok(())
    }

    /// Text typed into an element.
    ///
    /// # Errors
    /// When it takes none.
    pub async fn type_into(&self, selector: &str, text: &str) -> Result<()> {
        let element = self.find(selector).await?;
        self.ask("POST", &format!("/element/{}/clear", element.0), json!({})).await?;
        self.ask("POST", &format!("/element/{}/value", element.0), json!({"text": text})).await?;
        Ok(())
    }

    /// Keys pressed one after the other, wherever the focus is.
    ///
    /// # Errors
    /// When the window is gone.
    pub async fn press(&self, keys: &[char]) -> Result<()> {
        let each = |key: &char| [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})];
        let actions: Vec<_> = keys.iter().flat_map(each).collect();
        self.ask("POST", "/actions", json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]}))
            .await?;
        Ok(())
    }

    /// What WebDriver says of an element: `computedlabel`, `computedrole`, `text`, `displayed`.
    ///
    /// # Errors
    /// When the element is gone.
    pub async fn of(&self, element: &Element, what: &str) -> Result<Value> {
        self.ask("GET", &format!("/element/{}/{what}", element.0), Value::Null).await
    }

    /// The element that has the focus.
    ///
    /// # Errors
    /// When none has.
    pub async fn focused(&self) -> Result<Element> {
        let found = self.ask("GET", "/element/active", Value::Null).await?;
        Ok(Element(found[ELEMENT].as_str().context("no element")?.to_owned()))
    }

    /// A picture of the window, as PNG.
    ///
    /// # Errors
    /// When there is none.
    pub async fn picture(&self) -> Result<Vec<u8>> {
        let taken = self.ask("GET", "/screenshot", Value::Null).await?;
        Base64::decode_vec(taken.as_str().context("no picture")?).map_err(|error| anyhow!("no picture: {error}"))
    }

    /// What the console has said since the last time, level and text.
    ///
    /// # Errors
    /// When the driver does not say.
    pub async fn console(&self) -> Result<Vec<String>> {
        let said = self.ask("POST", "/se/log", json!({"type": "browser"})).await?;
        Ok(said.as_array().into_iter().flatten().map(|line| format!("{} {}", line["level"], line["message"])).collect())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Without its session's end the driver would leave its browser behind.
        let _ = self.end_session();
        let _ = Command::new("kill").arg(self.driver.id().to_string()).status();
        let _ = self.driver.wait();
    }
}

impl Browser {
    /// Blocks, since dropping cannot wait otherwise.
    fn end_session(&self) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(self.to)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "DELETE {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.session, self.to)?;
        // The first bytes of the answer: the browser is gone.
        stream.read_exact(&mut [0; 12])
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|file| file.is_file())
}
