//! A proof as a network keeps it: the prover's output folder as a deterministic ustar archive.

const BLOCK: usize = 512;
const SIZE_FIELD: std::ops::Range<usize> = 124..135;

/// The content of the only file of `bundle`, if that is its name; None if it is no such bundle.
pub fn single_file<'a>(bundle: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let header = bundle.get(..BLOCK)?;
    let named = header.starts_with(name.as_bytes()) && header[name.len()] == 0;
    if !named || &header[257..262] != b"ustar" {
        return None;
    }
    let digits = std::str::from_utf8(&header[SIZE_FIELD]).ok()?;
    let size = usize::from_str_radix(digits, 8).ok()?;
    let end = BLOCK.checked_add(size)?;
    let content = bundle.get(BLOCK..end)?;
    let rest = &bundle[end..];
    (rest.len() == end.next_multiple_of(BLOCK) - end + 2 * BLOCK && rest.iter().all(|byte| *byte == 0))
        .then_some(content)
}
