//! From a file of bytecode to something that can be instantiated, or the reason why Envoy would not load it.

use super::{
    abi::AbiVersion,
    call,
    state::VmState,
    table::{HostFunction, Returns, TABLE},
    vm::CALLBACKS,
};
use anyhow::Context;
use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use wasmparser::{Parser, Payload, TypeRef};
use wasmtime::{Config, Engine, FuncType, InstancePre, Linker, ValType};

/// A compiled module that Envoy would load. Cheap to clone; to be made once in a process.
#[derive(Clone)]
pub struct Module {
    pub(crate) pre: InstancePre<VmState>,
    abi: AbiVersion,
    inspection: Arc<Inspection>,
}

impl fmt::Debug for Module {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Module({} bytes, ABI {})", self.inspection.bytes, self.abi)
    }
}

/// Why Envoy would not load a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// The bytes are no WebAssembly module, or not a valid one.
    NotAModule(String),
    /// It exports no marker of a version that there is.
    NoAbiVersion,
    /// It imports what its version of the ABI does not offer.
    MissingImport(String),
    /// It imports a function with another type than the host's.
    ImportType {
        /// Module and name.
        import: String,
        /// What the module wants.
        want: String,
        /// What the host has.
        have: String,
    },
    /// It exports no allocator.
    MissingAllocator,
    /// It exports a callback with another type than the ABI's.
    ExportType {
        /// The export.
        export: String,
        /// What the module has.
        have: String,
        /// What the ABI says.
        want: String,
    },
    /// It exports no memory.
    MissingMemory,
}

impl fmt::Display for LoadError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::NotAModule(why) => write!(out, "this is no valid WebAssembly module: {why}"),
            LoadError::NoAbiVersion => write!(
                out,
                "it exports no marker of an ABI version (proxy_abi_version_0_1_0, _0_2_0 or _0_2_1): is it a proxy-wasm filter, \
                 linked so that exports are kept?"
            ),
            LoadError::MissingImport(import) => write!(
                out,
                "it imports {import}, which Envoy does not offer to this version of the ABI: `host-test inspect` lists all imports"
            ),
            LoadError::ImportType { import, want, have } => {
                write!(out, "it imports {import} as {want}, but the host has {have}")
            }
            LoadError::MissingAllocator => {
                write!(out, "it exports neither malloc nor proxy_on_memory_allocate, so the host can hand nothing over")
            }
            LoadError::ExportType { export, have, want } => {
                write!(out, "it exports {export} as {have}, but it is {want}")
            }
            LoadError::MissingMemory => write!(out, "it exports no memory"),
        }
    }
}

impl std::error::Error for LoadError {}

/// What a look at a module tells.
#[derive(Clone, Debug, Default)]
pub struct Inspection {
    /// The length of the file.
    pub bytes: usize,
    /// The version that its marker tells.
    pub abi: Option<AbiVersion>,
    /// Its imports with their types.
    pub imports: Vec<(String, String)>,
    /// Its exported functions.
    pub exports: Vec<String>,
    /// The pages of its memory at the start, 64 KiB each, and at most.
    pub memory: Option<(u64, Option<u64>)>,
    /// The names and sizes of its sections.
    pub sections: Vec<(String, usize)>,
    /// How long compilation took.
    pub compiled_in: Duration,
}

impl Module {
    /// Compiles bytes, or the text format, and links them as Envoy does.
    ///
    /// # Errors
    /// What Envoy would refuse, the first thing it would name.
    pub fn load(bytes: &[u8]) -> Result<Module, LoadError> {
        let not_a_module = |error: &dyn fmt::Display| LoadError::NotAModule(format!("{error:#}"));
        let bytes = wat::parse_bytes(bytes).map_err(|error| not_a_module(&error))?;
        let mut inspection = inspect(&bytes)?;
        let abi = inspection.abi.ok_or(LoadError::NoAbiVersion)?;
        let engine = engine();
        let start = Instant::now();
        let module = wasmtime::Module::new(&engine, &bytes).map_err(|error| not_a_module(&error))?;
        inspection.compiled_in = start.elapsed();
        let mut linker = Linker::new(&engine);
        call::link(&mut linker, abi).map_err(|error| not_a_module(&error))?;
        check_imports(&module, abi)?;
        let pre = linker.instantiate_pre(&module).map_err(|error| not_a_module(&error))?;
        check_exports(&module, abi)?;
        Ok(Module { pre, abi, inspection: Arc::new(inspection) })
    }

    /// The same from a file.
    ///
    /// # Errors
    /// When it cannot be read, or Envoy would not load it.
    pub fn read(path: &Path) -> anyhow::Result<Module> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Module::load(&bytes).with_context(|| format!("Envoy would not load {}", path.display()))
    }

    /// The version of the ABI that it speaks.
    pub fn abi(&self) -> AbiVersion {
        self.abi
    }

    /// What a look at it tells.
    pub fn inspection(&self) -> &Inspection {
        &self.inspection
    }
}

fn engine() -> Engine {
    let mut config = Config::new();
    config.consume_fuel(true);
    // The names in a backtrace are what a trap is understood by.
    config.wasm_backtrace_max_frames(std::num::NonZeroUsize::new(20));
    // There is nothing in this configuration that a platform could lack.
    Engine::new(&config).unwrap_or_default()
}

/// Looks at a module without compiling it.
///
/// # Errors
/// When it is no module.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, LoadError> {
    read(bytes).map_err(|error| LoadError::NotAModule(error.to_string()))
}

fn read(bytes: &[u8]) -> wasmparser::Result<Inspection> {
    let mut found = Inspection { bytes: bytes.len(), ..Inspection::default() };
    let mut types = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload?;
        if let Some((id, range)) = payload.as_section() {
            let name = match &payload {
                Payload::CustomSection(section) => format!("custom {:?}", section.name()),
                _ => section_name(id).to_owned(),
            };
            found.sections.push((name, (range.end - range.start) as usize));
        }
        match payload {
            Payload::TypeSection(section) => {
                for ty in section.into_iter_err_on_gc_types() {
                    let ty = ty?;
                    types.push(show(ty.params(), ty.results()));
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    let ty = match import.ty {
                        TypeRef::Func(index) => types.get(index as usize).cloned().unwrap_or_default(),
                        other => format!("{other:?}"),
                    };
                    found.imports.push((format!("{}.{}", import.module, import.name), ty));
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    let memory = memory?;
                    found.memory = Some((memory.initial, memory.maximum));
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    let version = AbiVersion::ALL.into_iter().find(|version| version.marker() == export.name);
                    found.abi = found.abi.or(version);
                    if export.kind == wasmparser::ExternalKind::Func {
                        found.exports.push(export.name.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

fn section_name(id: u8) -> &'static str {
    const NAMES: [&str; 14] = [
        "custom",
        "type",
        "import",
        "function",
        "table",
        "memory",
        "global",
        "export",
        "start",
        "element",
        "code",
        "data",
        "data count",
        "tag",
    ];
    NAMES.get(usize::from(id)).copied().unwrap_or("unknown")
}

fn show<T: fmt::Debug>(parameters: &[T], results: &[T]) -> String {
    let list = |types: &[T]| types.iter().map(|ty| format!("{ty:?}").to_lowercase()).collect::<Vec<_>>().join(" ");
    let or_void = |text: String| if text.is_empty() { "void".to_owned() } else { text };
    format!("{} -> {}", or_void(list(parameters)), or_void(list(results)))
}

fn show_type(ty: &FuncType) -> String {
    let names = |types: &mut dyn Iterator<Item = ValType>| {
        let names: Vec<_> = types.map(|ty| ty.to_string()).collect();
        if names.is_empty() { "void".to_owned() } else { names.join(" ") }
    };
    format!("{} -> {}", names(&mut ty.params()), names(&mut ty.results()))
}

/// The type of a host function.
pub(crate) fn function_type(engine: &Engine, function: &HostFunction) -> FuncType {
    let kind = |name: &&str| if name.starts_with("i64:") { ValType::I64 } else { ValType::I32 };
    let results = (function.returns != Returns::Nothing).then_some(ValType::I32);
    FuncType::new(engine, function.parameters.iter().map(kind), results)
}

fn check_imports(module: &wasmtime::Module, abi: AbiVersion) -> Result<(), LoadError> {
    let table: BTreeMap<(&str, &str), &HostFunction> = TABLE
        .iter()
        .filter(|function| function.is_in(abi))
        .flat_map(|function| function.modules.iter().map(move |module| ((*module, function.name), function)))
        .collect();
    for import in module.imports() {
        let name = format!("{}.{}", import.module(), import.name());
        let function = table.get(&(import.module(), import.name()));
        let ty = import.ty();
        let (Some(function), Some(want)) = (function, ty.func()) else { return Err(LoadError::MissingImport(name)) };
        let have = function_type(module.engine(), function);
        if !FuncType::eq(want, &have) {
            return Err(LoadError::ImportType { import: name, want: show_type(want), have: show_type(&have) });
        }
    }
    Ok(())
}

fn check_exports(module: &wasmtime::Module, abi: AbiVersion) -> Result<(), LoadError> {
    let has = |name: &str| module.get_export(name).is_some_and(|export| export.func().is_some());
    if !has("malloc") && !has("proxy_on_memory_allocate") {
        return Err(LoadError::MissingAllocator);
    }
    if module.get_export("memory").is_none_or(|export| export.memory().is_none()) {
        return Err(LoadError::MissingMemory);
    }
    for callback in &CALLBACKS {
        let Some(export) = module.get_export(callback.name) else { continue };
        let Some(have) = export.func() else { continue };
        let parameters = vec![ValType::I32; callback.parameters(abi)];
        let want = FuncType::new(module.engine(), parameters, callback.returns.then_some(ValType::I32));
        if callback.is_in(abi) && !FuncType::eq(have, &want) {
            let export = callback.name.to_owned();
            return Err(LoadError::ExportType { export, have: show_type(have), want: show_type(&want) });
        }
    }
    Ok(())
}
