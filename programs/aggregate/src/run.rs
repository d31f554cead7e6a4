//! What both programs do around their work.

use std::env;
use std::panic::{self, catch_unwind};
use std::process::ExitCode;

use crate::failure::{CRASHED, Failure};

/// Run `work` and turn its end into an exit code, with one sentence on stdout or stderr.
pub fn to_exit_code(name: &str, work: impl FnOnce() -> Result<String, Failure> + panic::UnwindSafe) -> ExitCode {
    // Panics are caught where bad input can cause them, and here; the default hook would print them there too.
    panic::set_hook(Box::new(|_| ()));
    match catch_unwind(work) {
        Ok(Ok(sentence)) => {
            println!("{name}: {sentence}");
            ExitCode::SUCCESS
        }
        Ok(Err(failure)) => {
            eprintln!("{name}: {failure}");
            ExitCode::from(failure.code)
        }
        Err(cause) => {
            let text = cause.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or("an unknown panic");
            eprintln!("{name}: crashed: {text}");
            ExitCode::from(CRASHED)
        }
    }
}

/// Start as many threads as the task has cores. The processors that the machine has say nothing about that.
pub fn use_granted_cores() {
    let granted = env::var("MILL_CPU_MILLIS").ok().and_then(|millis| millis.parse::<usize>().ok());
    if let Some(millis) = granted {
        let threads = millis.div_ceil(1000).clamp(1, 64);
        // It fails only where a pool was started before.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    }
}
