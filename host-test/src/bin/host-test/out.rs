//! Writing to standard output that ends quietly when the reader of a pipe has left: `print!` and `println!` of this command
//! take the place of the usual ones, which panic then.

use std::{
    fmt,
    io::{self, ErrorKind, Write},
};

macro_rules! print {
    ($($what:tt)*) => { $crate::out::write(format_args!($($what)*)) };
}

macro_rules! println {
    ($($what:tt)*) => { $crate::out::write(format_args!("{}\n", format_args!($($what)*))) };
}

/// Writes at once. Where the reader of a pipe has left, the command ends here: the reader wants no more.
pub(crate) fn write(what: fmt::Arguments<'_>) {
    let mut out = io::stdout().lock();
    match out.write_fmt(what).and_then(|()| out.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            eprintln!("error: standard output: {error}");
            std::process::exit(2)
        }
    }
}
