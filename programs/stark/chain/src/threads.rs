//! How many threads to compute with.

/// As many as the task has cores, by the container contract's `MILL_CPU_MILLIS`; without it, as many as the machine has.
///
/// Must come before anything that uses rayon. More threads than cores would only get in each other's way: the cores
/// that the container sees are the machine's, not the task's.
pub fn use_the_tasks_cores() {
    let millis = std::env::var("MILL_CPU_MILLIS").ok().and_then(|text| text.parse::<usize>().ok());
    if let Some(millis) = millis.filter(|&millis| millis > 0) {
        let wanted = millis.div_ceil(1000);
        let machine = std::thread::available_parallelism().map_or(wanted, |cores| cores.get());
        // Fails only where a pool exists already, which is as good.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(wanted.min(machine)).build_global();
    }
}
