//! Reads a TOML table key by key and remembers everything that is wrong on the way.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::problem::{Problem, nearest};

/// A table being read. Keys nobody asked for are problems, found by [`Table::finish`].
#[derive(Debug)]
pub(super) struct Table<'t, 'src> {
    entries: &'t DeTable<'src>,
    span: Range<usize>,
    /// As the person writes it: `agent`, `git`, `cred_proxy.routes`; empty for the top level.
    path: String,
    known: BTreeSet<&'static str>,
}

/// A value with the place it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    pub value: T,
    pub span: Range<usize>,
}

impl<'t, 'src> Table<'t, 'src> {
    pub(super) fn new(
        entries: &'t DeTable<'src>,
        span: Range<usize>,
        path: impl Into<String>,
    ) -> Self {
        Self { entries, span, path: path.into(), known: BTreeSet::new() }
    }

    /// The bytes of this table, for problems about the whole of it.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Every key with its value, for tables whose keys the person makes up.
    pub(super) fn pairs(
        &self,
    ) -> impl Iterator<Item = (At<String>, &'t Spanned<DeValue<'src>>)> + use<'t, 'src> {
        self.entries
            .iter()
            .map(|(key, value)| (At { value: key.get_ref().to_string(), span: key.span() }, value))
    }

    /// A string if there is one, without asking for it.
    pub(super) fn peek(&self, key: &str) -> Option<At<String>> {
        let value = self.entries.get(key)?;
        let text = value.get_ref().as_str()?;
        Some(At { value: text.to_owned(), span: value.span() })
    }

    pub(super) fn string(
        &mut self,
        key: &'static str,
        problems: &mut Vec<Problem>,
    ) -> Option<At<String>> {
        let value = self.get(key)?;
        string(value, &self.name(key), problems)
    }

    /// A string that must be there and not be empty.
    pub(super) fn required(
        &mut self,
        key: &'static str,
        example: &str,
        problems: &mut Vec<Problem>,
    ) -> Option<At<String>> {
        if !self.entries.contains_key(key) {
            self.known.insert(key);
            let message = format!("`{key}` is missing in {}", self.title());
            problems.push(Problem::at(self.span(), message, format!("{key} = {example}")));
            return None;
        }
        let found = self.string(key, problems)?;
        if found.value.trim().is_empty() {
            let message = format!("{} is empty", self.name(key));
            problems.push(Problem::at(found.span, message, format!("{key} = {example}")));
            return None;
        }
        Some(found)
    }

    pub(super) fn boolean(
        &mut self,
        key: &'static str,
        problems: &mut Vec<Problem>,
    ) -> Option<bool> {
        let value = self.get(key)?;
        let read = value.get_ref().as_bool();
        if read.is_none() {
            problems.push(wrong_type(value, &self.name(key), "true or false"));
        }
        read
    }

    pub(super) fn number(
        &mut self,
        key: &'static str,
        problems: &mut Vec<Problem>,
    ) -> Option<At<f64>> {
        let value = self.get(key)?;
        let read = match value.get_ref() {
            DeValue::Integer(written) => {
                i64::from_str_radix(written.as_str(), written.radix()).ok().map(|n| n as f64)
            }
            DeValue::Float(written) => written.as_str().parse().ok(),
            DeValue::String(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => None,
        };
        if read.is_none() {
            problems.push(wrong_type(value, &self.name(key), "a number"));
        }
        read.map(|value_| At { value: value_, span: value.span() })
    }

    /// A list of strings; absent is `None`.
    pub(super) fn strings(
        &mut self,
        key: &'static str,
        problems: &mut Vec<Problem>,
    ) -> Option<At<Vec<At<String>>>> {
        let value = self.get(key)?;
        let Some(items) = value.get_ref().as_array() else {
            problems.push(wrong_type(value, &self.name(key), "a list of strings, [\"…\"]"));
            return None;
        };
        let name = self.name(key);
        let read = items.iter().filter_map(|item| string(item, &name, problems)).collect();
        Some(At { value: read, span: value.span() })
    }

    /// One string or a list of them.
    pub(super) fn one_or_more(
        &mut self,
        key: &'static str,
        problems: &mut Vec<Problem>,
    ) -> Vec<At<String>> {
        match self.entries.get(key).map(|value| value.get_ref().is_array()) {
            Some(true) => self.strings(key, problems).map(|list| list.value).unwrap_or_default(),
            Some(false) => self.string(key, problems).into_iter().collect(),
            None => {
                self.known.insert(key);
                Vec::new()
            }
        }
    }

    pub(super) fn table(
        &mut self,
        key: &'static str,
        problems: &mut Vec<Problem>,
    ) -> Option<Table<'t, 'src>> {
        let value = self.get(key)?;
        let path = self.path_of(key);
        let Some(entries) = value.get_ref().as_table() else {
            problems.push(wrong_type(value, &self.name(key), &format!("a table, [{path}]")));
            return None;
        };
        Some(Table::new(entries, value.span(), path))
    }

    /// The tables of `[[key]]`.
    pub(super) fn tables(
        &mut self,
        key: &'static str,
        problems: &mut Vec<Problem>,
    ) -> Vec<Table<'t, 'src>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let path = self.path_of(key);
        let expected = format!("a list of tables, each begun by [[{path}]]");
        let Some(items) = value.get_ref().as_array() else {
            problems.push(wrong_type(value, &self.name(key), &expected));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in items {
            match item.get_ref().as_table() {
                Some(entries) => tables.push(Table::new(entries, item.span(), path.clone())),
                None => problems.push(wrong_type(item, &self.name(key), &expected)),
            }
        }
        tables
    }

    /// Complains about every key that was never asked for.
    pub(super) fn finish(self, problems: &mut Vec<Problem>) {
        let known: Vec<&str> = self.known.iter().copied().collect();
        for (key, _) in self.pairs() {
            if self.known.contains(key.value.as_str()) {
                continue;
            }
            let help = match nearest(&key.value, &known) {
                Some(meant) => format!("`{meant}`"),
                None => format!("one of {}", known.join(", ")),
            };
            let message = format!("unknown key `{}` in {}", key.value, self.title());
            problems.push(Problem::at(key.span, message, help));
        }
    }

    fn get(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'src>>> {
        self.known.insert(key);
        self.entries.get(key)
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn name(&self, key: &str) -> String {
        format!("`{}`", self.path_of(key))
    }

    fn title(&self) -> String {
        if self.path.is_empty() { "the manifest".to_owned() } else { format!("[{}]", self.path) }
    }
}

/// Reads a string, or complains.
pub(super) fn string(
    value: &Spanned<DeValue<'_>>,
    name: &str,
    problems: &mut Vec<Problem>,
) -> Option<At<String>> {
    let read = value.get_ref().as_str();
    if read.is_none() {
        problems.push(wrong_type(value, name, "a string, \"…\""));
    }
    read.map(|text| At { value: text.to_owned(), span: value.span() })
}

fn wrong_type(value: &Spanned<DeValue<'_>>, name: &str, expected: &str) -> Problem {
    let found = value.get_ref().type_str();
    let article = if found.starts_with(['a', 'i']) { "an" } else { "a" };
    Problem::at(value.span(), format!("{name} is {article} {found}"), expected)
}
