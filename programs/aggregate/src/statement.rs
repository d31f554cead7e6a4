//! `public.json`: what the requester wants proved.

use std::fmt;
use std::path::Path;

use serde::Deserialize;

use crate::chain::{self, State};
use crate::failure::{Failure, PUBLIC_INPUT, read_bounded};

pub const FILE: &str = "public.json";
/// Steps in one leaf, at most: what fits the rows that a node needs anyway.
pub const LEAF_STEPS_MAX: u64 = 4096;
/// Bits of any number of steps. Nodes check it in the circuit, so that sums can't wrap around the field's order.
pub const STEPS_BITS: usize = 48;

const BYTES_MAX: u64 = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// A chunk of the chain.
    Leaf,
    /// Two leaves or nodes that join.
    Node,
    /// A leaf or node as a smaller proof.
    Root,
}

impl Stage {
    pub const ALL: [Self; 3] = [Self::Leaf, Self::Node, Self::Root];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Leaf => "leaf",
            Self::Node => "node",
            Self::Root => "root",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// `steps` steps lead from `start` to `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub start: State,
    pub end: State,
    pub steps: u64,
}

/// A claim, and the circuit that shall prove it.
#[derive(Clone, Copy, Debug)]
pub struct Statement {
    pub stage: Stage,
    pub claim: Claim,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    stage: Stage,
    start: String,
    end: String,
    steps: u64,
}

/// Read `public.json` in `directory`.
pub fn load(directory: &Path) -> Result<Statement, Failure> {
    let path = directory.join(FILE);
    let bad = |why: String| Failure::new(PUBLIC_INPUT, format!("public input: {} {why}", path.display()));
    let bytes = read_bounded(&path, BYTES_MAX).map_err(|error| bad(format!("can't be read: {error}")))?;
    // serde would take an array of the values as well.
    let object = bytes.trim_ascii_start().starts_with(b"{");
    let raw: Option<Raw> = serde_json::from_slice(&bytes).ok().filter(|_| object);
    let raw = raw.ok_or_else(|| {
        bad(r#"must be {"stage": "leaf", "node" or "root", "start": "0x…", "end": "0x…", "steps": N}"#.to_owned())
    })?;
    let state = |key: &str, text: &str| {
        chain::decode(text).ok_or_else(|| {
            bad(format!(
                "must have as {key} 0x and 64 lower-case hexadecimal digits: four elements, each below 2^64 - 2^32 + 1"
            ))
        })
    };
    let claim = Claim { start: state("start", &raw.start)?, end: state("end", &raw.end)?, steps: raw.steps };
    let (least, most) = match raw.stage {
        Stage::Leaf => (1, LEAF_STEPS_MAX),
        Stage::Node => (2, (1 << STEPS_BITS) - 1),
        Stage::Root => (1, (1 << STEPS_BITS) - 1),
    };
    if !(least..=most).contains(&raw.steps) {
        return Err(bad(format!("asks for a {} of {} steps: it can have {least} to {most}", raw.stage, raw.steps)));
    }
    Ok(Statement { stage: raw.stage, claim })
}
