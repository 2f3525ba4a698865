//! `[limits.ROLE]`: what each container may use.

use std::collections::BTreeMap;

use super::reader::{At, Table};
use crate::names::Role;
use crate::problem::Problem;

/// Bounds of one container.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Limits {
    /// In bytes; swap is not added to it.
    pub memory: i64,
    /// In processors, so that 0.5 is half of one.
    pub cpus: f64,
    pub pids: i64,
}

const MIB: i64 = 1 << 20;
const LEAST_MEMORY: i64 = 16 * MIB;

impl Limits {
    /// What a container may use when the manifest is silent.
    pub fn default_of(role: Role) -> Self {
        match role {
            Role::Pipelock => Self { memory: 256 * MIB, cpus: 1.0, pids: 128 },
            Role::GitGate => Self { memory: 2048 * MIB, cpus: 2.0, pids: 256 },
            Role::CredProxy => Self { memory: 128 * MIB, cpus: 1.0, pids: 128 },
            Role::Agent => Self { memory: 8192 * MIB, cpus: 4.0, pids: 2048 },
            Role::Probe => Self { memory: 128 * MIB, cpus: 1.0, pids: 2048 },
        }
    }
}

pub(super) fn read(
    table: Option<Table<'_, '_>>,
    problems: &mut Vec<Problem>,
) -> BTreeMap<Role, Limits> {
    let Some(mut table) = table else { return BTreeMap::new() };
    let keys = [
        ("agent", Role::Agent),
        ("pipelock", Role::Pipelock),
        ("git_gate", Role::GitGate),
        ("cred_proxy", Role::CredProxy),
    ];
    let mut all = BTreeMap::new();
    for (key, role) in keys {
        if let Some(limits) = table.table(key, problems) {
            all.insert(role, read_one(limits, Limits::default_of(role), problems));
        }
    }
    table.finish(problems);
    all
}

fn read_one(mut table: Table<'_, '_>, mut limits: Limits, problems: &mut Vec<Problem>) -> Limits {
    if let Some(memory) = table.string("memory", problems) {
        limits.memory = check_memory(&memory, problems).unwrap_or(limits.memory);
    }
    if let Some(cpus) = table.number("cpus", problems) {
        if cpus.value >= 0.01 && cpus.value <= 1024.0 {
            limits.cpus = cpus.value;
        } else {
            let message = format!("{} processors cannot be given", cpus.value);
            problems.push(Problem::at(cpus.span, message, "a number such as 2 or 0.5"));
        }
    }
    if let Some(pids) = table.number("pids", problems) {
        if pids.value.fract() == 0.0 && (8.0..=4_194_304.0).contains(&pids.value) {
            limits.pids = pids.value as i64;
        } else {
            let message = format!("{} processes cannot be a limit", pids.value);
            problems.push(Problem::at(pids.span, message, "a whole number from 8, such as 512"));
        }
    }
    table.finish(problems);
    limits
}

fn check_memory(text: &At<String>, problems: &mut Vec<Problem>) -> Option<i64> {
    let lower = text.value.to_ascii_lowercase();
    let (digits, unit) = match lower.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => lower.split_at(at),
        None => (lower.as_str(), ""),
    };
    let factor = match unit {
        "" | "b" => Some(1),
        "k" | "kb" | "kib" => Some(1 << 10),
        "m" | "mb" | "mib" => Some(MIB),
        "g" | "gb" | "gib" => Some(1 << 30),
        _ => None,
    };
    let bytes =
        digits.parse::<i64>().ok().zip(factor).and_then(|(n, factor)| n.checked_mul(factor));
    let bytes = bytes.filter(|bytes| *bytes >= LEAST_MEMORY);
    if bytes.is_none() {
        let message = format!("`{}` is not an amount of memory to run with", text.value);
        problems.push(Problem::at(text.span.clone(), message, "\"512m\" or \"4g\"; 16m at least"));
    }
    bytes
}
