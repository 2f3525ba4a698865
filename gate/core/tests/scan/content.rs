//! Secrets in content of every kind are found, with path and true line.

use std::io::Write;

use bstr::ByteSlice;

use gate_core::scan::{Options, Scanner, UnpackLimits, Verdict};

use crate::support::{ALNUM, Push, commit, options, private_key, random, token};

/// Asserts that exactly one finding stands, at this place.
#[track_caller]
fn found(findings: &[gate_core::scan::Finding], rule: &str, path: &str, line: u64) {
    let places: Vec<_> = findings
        .iter()
        .map(|f| format!("{} {} {}", f.rule, f.path.as_bstr().escape_ascii(), f.line))
        .collect();
    assert_eq!(places, [format!("{rule} {path} {line}")]);
    assert_eq!(findings[0].commit, Some(commit()));
}

#[tokio::test]
async fn a_clean_push_is_clean() {
    let push = Push::new().blob("src/main.rs", "fn main() {}\n").commit("tree 1\n\nDo a thing\n");
    assert!(push.findings().await.is_empty());
}

#[tokio::test]
async fn a_token_is_found_at_its_line_and_not_shown() {
    let secret = token("1");
    let findings =
        Push::new().blob("conf.py", format!("A = 1\nTOKEN = '{secret}'\n")).findings().await;
    found(&findings, "github-pat", "conf.py", 2);
    assert_eq!(findings[0].text, "TOKEN = '***'");
    assert!(!format!("{findings:?}").contains(&secret));
}

#[tokio::test]
async fn line_ends_make_no_difference() {
    for end in ["\r\n", "\n", ""] {
        let text = format!("[a]\r\ntoken={}{end}", token("crlf"));
        found(&Push::new().blob("conf.ini", text).findings().await, "github-pat", "conf.ini", 2);
    }
}

#[tokio::test]
async fn several_findings_are_all_told() {
    let push = Push::new()
        .blob("a.py", format!("x\ny = '{}'\n", token("a")))
        .blob("b.py", format!("x = '{}'\n\nz = '{}'\n", token("b"), token("c")));
    let places: Vec<_> =
        push.findings().await.iter().map(|f| (f.path.to_string(), f.line)).collect();
    assert_eq!(places, [("a.py".into(), 2), ("b.py".into(), 1), ("b.py".into(), 3)]);
}

#[tokio::test]
async fn a_private_key_is_one_finding() {
    let findings =
        Push::new().blob("id", format!("# mine\n{}", private_key("k", 12))).findings().await;
    found(&findings, "private-key", "id", 2);
}

#[tokio::test]
async fn a_private_key_is_found_with_anything_inside() {
    for inside in [&b"Proc-Type: false\n"[..], b"caf\xe9\n", b"\0\n"] {
        let key = private_key("k", 12);
        let (first, rest) = key.split_once('\n').unwrap();
        let text = [first.as_bytes(), b"\n", inside, rest.as_bytes()].concat();
        found(&Push::new().blob("id", text).findings().await, "private-key", "id", 1);
    }
}

#[tokio::test]
async fn rules_that_look_at_the_path_see_the_real_one() {
    let password = random("tf", 14, ALNUM);
    let tf =
        format!("resource \"x\" \"y\" {{\n  administrator_login_password = \"{password}\"\n}}\n");
    found(
        &Push::new().blob("infra/db.tf", &tf).findings().await,
        "hashicorp-tf-password",
        "infra/db.tf",
        2,
    );
    let key: Vec<u8> = (0..3000_u32).map(|i| (i * 97 % 251) as u8).collect();
    found(
        &Push::new().blob("certs/client.p12", key).findings().await,
        "pkcs12-file",
        "certs/client.p12",
        0,
    );
}

#[tokio::test]
async fn a_blob_without_a_path_is_scanned() {
    let findings = Push::new().blob("", format!("T = '{}'\n", token("blob"))).findings().await;
    found(&findings, "github-pat", "", 1);
}

#[tokio::test]
async fn bytes_that_are_no_text_hide_nothing() {
    let secret = token("bin");
    for (name, text) in [
        ("nul", format!("T = '{secret}'\n\0\n").into_bytes()),
        ("latin-1", [&b"\xff\xfe\xe9 t='"[..], secret.as_bytes(), b"' \xe9\n"].concat()),
        ("program", [&b"MZ notes "[..], secret.as_bytes(), b"\n"].concat()),
        ("elf", [&b"\x7fELF\0\0\0\0\xff\xff"[..], secret.as_bytes(), b"\0\xff"].concat()),
        ("zip in name only", format!("T = '{secret}'\n").into_bytes()),
    ] {
        let findings = Push::new().blob("backup.zip", text).findings().await;
        assert_eq!(findings.len(), 1, "{name}");
        assert_eq!(findings[0].line, 1, "{name}");
    }
}

/// Most rules want white space, a quote or the end after a token; this is one of theirs.
fn npm(seed: &str) -> String {
    format!("np{}{}", "m_", random(seed, 36, ALNUM))
}

#[tokio::test]
async fn a_token_ends_where_the_text_in_a_binary_does() {
    let secret = npm("rodata");
    for after in [&b"\0next"[..], b"\x05\x81", b"\xff", b"\x7f", b"\x1b[0m"] {
        let text = [b"\x7fELF\0\x02\x01before\0", secret.as_bytes(), after].concat();
        let findings = Push::new().blob("prog", text).findings().await;
        found(&findings, "npm-access-token", "prog", 1);
    }
}

#[tokio::test]
async fn utf_16_is_read() {
    let text = format!("one\r\n$t = '{}'\r\n", token("utf16"));
    let little = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let big = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>();
    let marked = format!("\u{feff}{text}");
    for bytes in [little(&marked), big(&marked), little(&text), big(&text)] {
        found(&Push::new().blob("conf.ps1", bytes).findings().await, "github-pat", "conf.ps1", 2);
    }
}

#[tokio::test]
async fn wide_characters_in_a_binary_are_read() {
    let mut program = b"MZ\x90\0\x03\0\0\0".repeat(300);
    program.extend(format!("key {}", token("wide")).encode_utf16().flat_map(u16::to_le_bytes));
    program.extend(b"\xff\xff\0\0");
    found(&Push::new().blob("a.exe", program).findings().await, "github-pat", "a.exe", 0);
}

#[tokio::test]
async fn large_files_and_long_lines_are_read_to_the_end() {
    let secret = token("large");
    let many = format!("{}t={secret}\n", "1,2,3,lorem,ipsum,dolor\n".repeat(500_000));
    found(&Push::new().blob("data.csv", many).findings().await, "github-pat", "data.csv", 500_001);
    let long =
        format!("{}var t='{secret}';{}\n", "var a=1;".repeat(190_000), "var b=2;".repeat(190_000));
    let findings = Push::new().blob("min.js", long).findings().await;
    found(&findings, "github-pat", "min.js", 1);
    assert!(findings[0].text.contains("var t='***';"), "{}", findings[0].text);
}

#[tokio::test]
async fn a_secret_is_found_wherever_a_segment_ends() {
    let mut push = Push::new();
    for shift in 0..64 {
        let before = "x".repeat(32 * 1024 - 50 + shift);
        push = push.blob(
            format!("{shift}"),
            format!("{before} '{}' {}", token("cut"), "y ".repeat(40_000)),
        );
    }
    assert_eq!(push.findings().await.len(), 64);
}

#[tokio::test]
async fn what_gitleaks_decodes_is_found_and_not_shown() {
    let secret = token("b64");
    let encoded = base64(format!("token = '{secret}'").as_bytes());
    let findings = Push::new().blob("b.txt", format!("x\ndata: {encoded}\n")).findings().await;
    found(&findings, "github-pat", "b.txt", 2);
    assert_eq!(findings[0].text, "***");
}

/// A zip with one deflated file in it.
pub(crate) fn zip(name: &str, data: &[u8]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(data).unwrap();
    zip.finish().unwrap().into_inner()
}

pub(crate) fn gzip(data: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(data).unwrap();
    gzip.finish().unwrap()
}

pub(crate) fn tar(name: &str, data: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(data.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, name, data).unwrap();
    tar.into_inner().unwrap()
}

#[tokio::test]
async fn archives_are_opened_whatever_their_name() {
    let text = format!("{}\nT = '{}'\n", "# pad ".repeat(30), token("zip"));
    let text = text.as_bytes();
    let mut bz = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
    bz.write_all(text).unwrap();
    let options = lzma_rust2::LzmaOptions::with_preset(6);
    let mut writer =
        lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(6)).unwrap();
    writer.write_all(text).unwrap();
    let xz = writer.finish().unwrap();
    let mut writer =
        lzma_rust2::LzmaWriter::new_use_header(Vec::new(), &options, Some(text.len() as u64))
            .unwrap();
    writer.write_all(text).unwrap();
    let lzma = writer.finish().unwrap();
    let self_extracting = [&b"#!/bin/sh\nunzip $0\n"[..], &zip("in/conf.py", text)].concat();
    let behind = |head: &[u8]| [head, &zip("in/conf.py", text)].concat();
    let odd =
        lzma_rust2::LzmaOptions { lc: 0, lp: 2, pb: 0, dict_size: 1 << 16, ..options.clone() };
    let mut writer = lzma_rust2::LzmaWriter::new_use_header(Vec::new(), &odd, None).unwrap();
    writer.write_all(text).unwrap();
    let odd = writer.finish().unwrap();
    for (name, data, inner) in [
        ("real.zip", zip("in/conf.py", text), "real.zip!in/conf.py"),
        ("lib.jar", zip("a.jar", &zip("conf.py", text)), "lib.jar!a.jar!conf.py"),
        ("sh", self_extracting, "sh!in/conf.py"),
        ("notes.txt.gz", gzip(text), "notes.txt.gz!notes.txt"),
        ("a/b.tar", tar("in/conf.py", text), "a/b.tar!in/conf.py"),
        ("b.tgz", gzip(&tar("in/conf.py", text)), "b.tgz!b!in/conf.py"),
        ("c.bz2", bz.finish().unwrap(), "c.bz2!c"),
        ("c.xz", xz, "c.xz!c"),
        ("c.lzma", lzma, "c.lzma!c"),
        ("d.lzma", odd, "d.lzma!d"),
        // what it begins with is no reason not to look at its end
        ("e.gz", behind(b"\x1f\x8b\x08\0"), "e.gz!in/conf.py"),
        ("f.pdf", behind(b"%PDF-1.4\n%%EOF\n"), "f.pdf!in/conf.py"),
        ("g.tar", behind(&tar("x", b"x\n")), "g.tar!in/conf.py"),
        ("h.tar", tar("x\x01.zip", &zip("conf.py", text)), "h.tar!x\\x01.zip!conf.py"),
    ] {
        let findings = Push::new().blob(name, data).findings().await;
        found(&findings, "github-pat", inner, 2);
        assert_eq!(findings[0].text, "T = '***'", "{name}");
    }
}

/// A static library begins with its symbols, in a member of the name `/`.
#[tokio::test]
async fn members_named_as_directories_are_read() {
    let text = format!("T = '{}'\n", token("slash"));
    for name in ["/", "//", "./", "in//", "/../", "in/", "a/./b"] {
        let header = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 644, text.len());
        let library = format!("!<arch>\n{header}{text}");
        let findings = Push::new().blob("lib.a", library).findings().await;
        found(&findings, "github-pat", &format!("lib.a!{name}"), 1);
    }
}

#[tokio::test]
async fn a_large_tar_is_read_as_it_streams_by() {
    let mut data = "lorem ipsum\n".repeat(4_000_000);
    data.push_str(&token("tar"));
    let archive = gzip(&tar("big.txt", data.as_bytes()));
    let findings = Push::new().blob("big.tgz", archive).findings().await;
    found(&findings, "github-pat", "big.tgz!big!big.txt", 4_000_001);
}

#[tokio::test]
async fn an_archive_no_scan_can_see_through_is_refused() {
    let unpack = UnpackLimits { free: 1 << 20, ..UnpackLimits::default() };
    let scanner = Scanner::new(Options { unpack, ..options() });
    let push = Push::new().blob("bomb.gz", gzip(&vec![0; 8 << 20]));
    let Verdict::Found(_, refusal) = push.scan_by(&scanner).await.unwrap() else {
        panic!("nothing found")
    };
    found(&refusal.findings, "unscanned-archive", "bomb.gz!bomb", 0);
    let mut nested = b"at last".to_vec();
    for _ in 0..5 {
        nested = gzip(&nested);
    }
    let findings = Push::new().blob("n.gz", nested).findings().await;
    found(&findings, "unscanned-archive", "n.gz!n!n!n!n", 0);
    assert_eq!(findings[0].text, "more than 4 archives within each other (limits.archive_depth)");
}

#[tokio::test]
async fn a_damaged_archive_is_read_as_far_as_it_goes() {
    let secret = token("cut");
    let whole = gzip(format!("{secret}\n{}", random("noise", 500_000, ALNUM)).as_bytes());
    let findings = Push::new().blob("cut.gz", &whole[..whole.len() / 2]).findings().await;
    found(&findings, "github-pat", "cut.gz!cut", 1);
    for head in
        [&b"\x1f\x8b\x08"[..], b"PK\x03\x04", b"BZh91AY&SY", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"]
    {
        let text = [head, b"no archive\n", secret.as_bytes(), b"\n"].concat();
        found(&Push::new().blob("fake", text).findings().await, "github-pat", "fake", 2);
    }
}

pub(crate) fn base64(data: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    data.chunks(3)
        .flat_map(|three| {
            let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
                << (8 * (3 - three.len()));
            let letters =
                (0..4).map(move |i| char::from(LETTERS[(bits >> (18 - 6 * i) & 63) as usize]));
            letters.take(three.len() + 1).chain(std::iter::repeat_n('=', 3 - three.len()))
        })
        .collect()
}

/// Wrapped as `base64` wraps.
fn wrapped(data: &[u8]) -> String {
    let letters = base64(data);
    letters.as_bytes().chunks(76).map(|line| format!("{}\n", line.as_bstr())).collect()
}

#[tokio::test]
async fn base64_that_gitleaks_does_not_see_through_is_decoded() {
    let text = format!("{}T = '{}'\n", "# pad pad pad\n".repeat(20), token("wrapped"));
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let command = format!("powershell -EncodedCommand {}\n", base64(&wide(&text)));
    let long = "lorem ipsum dolor\n".repeat(20_000) + &text;
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let dump: String =
        hex(&text).as_bytes().chunks(60).map(|line| format!("{}\n", line.as_bstr())).collect();
    let json = format!("{{\"content\": \"{}\"}}\n", wrapped(text.as_bytes()).replace('\n', "\\n"));
    let list: String = text.bytes().map(|byte| format!("0x{byte:02x}, ")).collect();
    let string: String = text.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
    let offsets: String = (text.as_bytes().chunks(16).zip((0_u32..).step_by(16)))
        .map(|(bytes, at)| {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x} ")).collect();
            format!("{at:08x}  {hex:<48} |{}|\n", bytes.as_bstr().to_string().replace('\n', "."))
        })
        .collect();
    for (name, data, place, line) in [
        ("wrapped", wrapped(text.as_bytes()), "f!base64@1", 21),
        ("wide", command, "f!base64@1", 21),
        (
            "an archive",
            format!("x:\n{}", wrapped(&gzip(text.as_bytes()))),
            "f!base64@2!base64@2",
            21,
        ),
        ("one long line", base64(long.as_bytes()), "f!base64@1", 20_021),
        ("a string of JSON", json, "f!base64@1", 21),
        ("a dump in hex", format!("x\n{dump}"), "f!hex@2", 21),
        ("a long line of hex", format!("x = {}", hex(&long)), "f!hex@1", 20_021),
        ("a list of bytes", list, "f!escapes@1", 21),
        ("a string of bytes", string, "f!escapes@1", 21),
        ("a dump with offsets", offsets, "f!dump@1", 21),
        ("a number", format!("x = 0x{};\n", hex(&text)), "f!hex@1", 21),
        (
            "behind a line's end in a string",
            format!("{{\"a\": \"x\\n{}\\n\"}}\n", base64(text.as_bytes())),
            "f!base64@1",
            21,
        ),
        ("twice", wrapped(wrapped(text.as_bytes()).as_bytes()), "f!base64@1!base64@1", 21),
    ] {
        let findings = Push::new().blob("f", data).findings().await;
        let places: Vec<_> = findings.iter().map(|f| (f.path.to_string(), f.line)).collect();
        assert_eq!(places, [(place.to_owned(), line)], "{name}");
        assert_eq!(findings[0].text, "T = '***'", "{name}");
    }
}

#[tokio::test]
async fn a_private_key_is_found_however_much_stands_in_it() {
    let key = private_key("padded", 12);
    let (first, rest) = key.split_once('\n').unwrap();
    for padding in [70_000, 1_000_000] {
        let text = format!("x\n{first}\n{}{rest}", "\n".repeat(padding));
        found(&Push::new().blob("id", text).findings().await, "private-key", "id", 2);
    }
}

#[tokio::test]
async fn packages_and_documents_are_opened() {
    let text = format!("{}T = '{}'\n", "(some words) Tj\n".repeat(20), token("deb"));
    let mut deb = b"!<arch>\n".to_vec();
    for (name, data) in [
        ("debian-binary", b"2.0".to_vec()),
        ("data.tar.gz", gzip(&tar("etc/conf", text.as_bytes()))),
    ] {
        writeln!(deb, "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`", 0, 0, 0, 100_644, data.len())
            .unwrap();
        deb.extend(&data);
        deb.resize(deb.len() + data.len() % 2, b'\n');
    }
    let zlib = |data: &[u8]| {
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        zlib.write_all(data).unwrap();
        zlib.finish().unwrap()
    };
    let noise = random("picture", 5000, &[0, 1, 2, 253, 254, 255, 7, 8]);
    let mut pdf = b"%PDF-1.7\n1 0 obj\n<< /Filter /FlateDecode >>\nstream\n".to_vec();
    pdf.extend(zlib(noise.as_bytes()));
    pdf.extend(b"\nendstream\nendobj\n2 0 obj\n<< /Filter /FlateDecode >>\nstream\r\n");
    pdf.extend(zlib(text.as_bytes()));
    pdf.extend(b"\nendstream\nendobj\n%%EOF\n");
    for (name, data, place) in [
        ("a.deb", deb, "a.deb!data.tar.gz!data.tar!etc/conf"),
        ("loose", zlib(text.as_bytes()), "loose!content"),
        ("a.pdf", pdf, "a.pdf!stream 2"),
    ] {
        let findings = Push::new().blob(name, data).findings().await;
        found(&findings, "github-pat", place, 21);
    }
}
