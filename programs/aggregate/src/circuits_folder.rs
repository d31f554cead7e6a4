//! What an image knows of the three circuits: enough to verify their proofs, made once at build time.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use plonky2::util::serialization::DefaultGateSerializer;

use crate::chain;
use crate::circuit::leaf::Leaf;
use crate::circuit::node::Node;
use crate::circuit::root::Root;
use crate::circuit::{Circuit, Verifier, shape};
use crate::statement::Stage;

pub struct Circuits {
    leaf: Verifier,
    node: Verifier,
    root: Verifier,
}

impl Circuits {
    /// Find the circuits. They depend on nothing but this source and plonky2's.
    pub fn find() -> Result<Self> {
        let shape = shape::find();
        let leaf = Leaf::build(&shape)?.circuit.verifier_data();
        let node = Node::build(&shape, &leaf.verifier_only)?.circuit.verifier_data();
        let root = Root::build(&shape, &leaf.verifier_only, &node.verifier_only).circuit.verifier_data();
        Ok(Self { leaf, node, root })
    }

    pub fn save(&self, directory: &Path) -> Result<()> {
        fs::create_dir_all(directory)?;
        for stage in Stage::ALL {
            let bytes = self.of(stage).to_bytes(&DefaultGateSerializer);
            fs::write(path(directory, stage), bytes.map_err(|_| anyhow::anyhow!("the {stage} can't be encoded"))?)?;
        }
        Ok(())
    }

    pub fn load(directory: &Path) -> Result<Self> {
        let [leaf, node, root] = Stage::ALL.map(|stage| {
            let path = path(directory, stage);
            let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
            Verifier::from_bytes(bytes, &DefaultGateSerializer)
                .map_err(|_| anyhow::anyhow!("{} is not a circuit's verifier data", path.display()))
        });
        Ok(Self { leaf: leaf?, node: node?, root: root? })
    }

    pub const fn of(&self, stage: Stage) -> &Verifier {
        match stage {
            Stage::Leaf => &self.leaf,
            Stage::Node => &self.node,
            Stage::Root => &self.root,
        }
    }

    /// A circuit's name: the digest of its verifier data.
    pub fn digest(&self, stage: Stage) -> String {
        chain::encode(self.of(stage).verifier_only.circuit_digest)
    }

    /// All three, for people.
    pub fn digests(&self) -> String {
        Stage::ALL.map(|stage| format!("{stage} {}", self.digest(stage))).join(", ")
    }

    /// Demand that a circuit that was built now is the one that this image knows.
    pub fn require(&self, stage: Stage, circuit: &Circuit) -> Result<()> {
        let known = self.of(stage);
        ensure!(
            circuit.verifier_only == known.verifier_only && circuit.common == known.common,
            "the {stage} circuit in this image is not the one that its program builds"
        );
        Ok(())
    }
}

fn path(directory: &Path, stage: Stage) -> PathBuf {
    directory.join(format!("{stage}.circuit"))
}
