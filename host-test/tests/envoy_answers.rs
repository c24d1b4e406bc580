//! Host calls in `on_configure`, with arguments good and bad, against what a real Envoy 1.40 answered: `envoy_answers.txt`
//! has, for each call, the status and the two words at 2048 that it left there, in hexadecimal.

use host_test::{
    conformance::oldest::HEX,
    host::Module,
    sim::{Config, Sim},
};
use std::{collections::BTreeSet, fmt::Write};

const RECORDED: &str = include_str!("envoy_answers.txt");

/// What the calls are about.
const DATA: &str = r#"
    (data (i32.const 100) "abcdefghijklmnop") (data (i32.const 200) "source\00address") (data (i32.const 300) "clear_route_cache")
    (data (i32.const 340) "declare_property") (data (i32.const 360) "compress") (data (i32.const 370) "uncompress")
    (data (i32.const 380) "\78\9c\4b\4c\4a\4e\1c\08\04\00\db\f6\2d\f1")"#;

struct Line {
    module: &'static str,
    name: &'static str,
    types: &'static str,
    arguments: Vec<&'static str>,
    answer: &'static str,
}

fn recorded() -> Vec<Line> {
    let or_none = |text: &'static str| if text == "-" { "" } else { text };
    let line = |line: &'static str| {
        let (call, answer) = line.split_once(" = ").unwrap();
        let [module, name, types, arguments] = call.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let arguments = or_none(arguments).split(',').filter(|argument| !argument.is_empty()).collect();
        Line { module, name, types: or_none(types), arguments, answer }
    };
    RECORDED.lines().map(line).collect()
}

/// A guest that makes the calls one after the other, and logs what each left behind.
fn guest(lines: &[Line]) -> String {
    let ty = |letter: char| if letter == 'I' { "i64" } else { "i32" };
    let mut text = String::from("(module");
    let mut imported = BTreeSet::from([("env", "proxy_log")]);
    text += "(import \"env\" \"proxy_log\" (func $env.proxy_log (param i32 i32 i32) (result i32)))";
    for line in lines {
        if imported.insert((line.module, line.name)) {
            let types: Vec<_> = line.types.chars().map(ty).collect();
            let (module, name) = (line.module, line.name);
            write!(
                text,
                "(import \"{module}\" \"{name}\" (func ${module}.{name} (param {}) (result i32)))",
                types.join(" ")
            )
            .unwrap();
        }
    }
    text += DATA;
    text += r#"
        (memory (export "memory") 2)
        (global $next (mut i32) (i32.const 70000))
        (func (export "_initialize"))
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "proxy_on_memory_allocate") (param i32) (result i32)
            global.get $next global.get $next local.get 0 i32.add global.set $next)
"#;
    text += HEX;
    text += r#"
        (func $show (param $status i32)
            (call $hex (i32.const 3000) (local.get $status)) (i32.store8 (i32.const 3008) (i32.const 32))
            (call $hex (i32.const 3009) (i32.load (i32.const 2048))) (i32.store8 (i32.const 3017) (i32.const 32))
            (call $hex (i32.const 3018) (i32.load (i32.const 2052)))
            (drop (call $env.proxy_log (i32.const 2) (i32.const 3000) (i32.const 26)))
            (i64.store (i32.const 2048) (i64.const -1)))
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
            (i64.store (i32.const 2048) (i64.const -1))"#;
    for line in lines {
        write!(text, "(call $show (call ${}.{}", line.module, line.name).unwrap();
        for (argument, letter) in line.arguments.iter().zip(line.types.chars()) {
            write!(text, " ({}.const {argument})", ty(letter)).unwrap();
        }
        text += "))";
    }
    text + "(i32.const 1)))"
}

#[test]
fn every_call_is_answered_as_envoy_answered_it() {
    let lines = recorded();
    assert!(lines.len() > 150);
    let module = Module::load(guest(&lines).as_bytes()).unwrap();
    let config = Config::of(module, "0123456789").only_workers().vm(|vm| {
        vm.configuration = b"VM".to_vec();
        vm.environment = vec![("A".into(), "1".into())];
    });
    let sim = Sim::start(config).unwrap();
    let answers = sim.log_lines("");
    assert_eq!(answers.len(), lines.len());
    let mut wrong = String::new();
    for (line, answer) in lines.iter().zip(&answers) {
        if line.answer != answer {
            writeln!(wrong, "{}({}): Envoy {}, here {answer}", line.name, line.arguments.join(", "), line.answer)
                .unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
