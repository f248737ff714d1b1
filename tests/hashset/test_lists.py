"""Lists of hashes in every shape the field exchanges."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.errors import HashListError, StorageError, UnknownNameError
from scanner.hashset import Entry, read_hash_list
from scanner.types import PerceptualHash
from tests.conftest import pdq_hash

ONE, TWO, THREE = (pdq_hash(seed) for seed in (1, 2, 3))


def read(path: Path, text: str | bytes, algorithm: str = "pdq") -> list[Entry]:
    """Read a list that has nothing to refuse."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    refused: Counter[str] = Counter()
    entries = list(read_hash_list(path, algorithm, lambda reason: refused.update([reason])))
    assert not refused
    return entries


EXPORT = [
    {"id": "1", "indicator": ONE.hex, "type": "HASH_PDQ", "tags": {"data": [{"text": "cats"}, {"text": "media"}]}},
    {"id": "2", "indicator": TWO.hex, "type": "HASH_PDQ", "tags": {"data": []}},
]
EXPORTED = [Entry(ONE, "cats, media"), Entry(TWO)]

SHAPES = {
    "hash column": ("a.csv", f"hash\n{ONE}\n{TWO}\n", [Entry(ONE), Entry(TWO)]),
    "columns in any order": (
        "a.csv",
        f"quality,cluster,label,hash\n90,7,cats,{ONE}\n,,,{TWO}\n",
        [Entry(ONE, "cats", 7, 90), Entry(TWO)],
    ),
    "names in upper case, spaces around": ("a.csv", f" PDQ , Label\n{ONE.hex.upper()},cats\n", [Entry(ONE, "cats")]),
    "unknown columns": ("a.csv", f"id,hash,seen\n4,{ONE},2024-01-01\n", [Entry(ONE)]),
    "quoted labels": ("a.csv", f'hash,label\n{ONE},"a, ""b"""\n', [Entry(ONE, 'a, "b"')]),
    "short rows": ("a.csv", f"hash,label,quality\n{ONE}\n{TWO},two\n", [Entry(ONE), Entry(TWO, "two")]),
    "Windows line ends": (
        "a.csv",
        f"hash,label\r\n{ONE},one\r\n\r\n{TWO},two\r\n",
        [Entry(ONE, "one"), Entry(TWO, "two")],
    ),
    "byte order mark": ("a.csv", f"\ufeffhash,label\n{ONE},one\n", [Entry(ONE, "one")]),
    "byte order mark, no header": ("a.txt", f"\ufeff{ONE}\n", [Entry(ONE)]),
    "no line end at the end": ("a.csv", f"hash\n{ONE}", [Entry(ONE)]),
    "comments and empty lines": (
        "a.csv",
        f"# a list\n\n#hash\nhash,label\n  # indented\n\n{ONE},one\n , \n# {TWO}\n",
        [Entry(ONE, "one")],
    ),
    "one hash a line": ("a.txt", f"{ONE}\n{TWO.hex.upper()}\n  {THREE}  \n", [Entry(ONE), Entry(TWO), Entry(THREE)]),
    "hash, quality, path": (
        "a.txt",
        f"{ONE},100,bridge-mods/aaa-orig.jpg\n{TWO},51,b.jpg\n",
        [Entry(ONE, "bridge-mods/aaa-orig.jpg", None, 100), Entry(TWO, "b.jpg", None, 51)],
    ),
    "hash, label": ("a.csv", f"{ONE},cats\n{TWO},dogs\n", [Entry(ONE, "cats"), Entry(TWO, "dogs")]),
    "tabs": ("a.tsv", f"hash\tlabel\tcluster\n{ONE}\tcats, dogs\t3\n", [Entry(ONE, "cats, dogs", 3)]),
    "another suffix": ("hashes", f"{ONE}\n", [Entry(ONE)]),
    "suffix in upper case": ("A.JSONL", json.dumps({"hash": ONE.hex}) + "\n", [Entry(ONE)]),
    "ThreatExchange, array": ("a.json", json.dumps(EXPORT), EXPORTED),
    "ThreatExchange, page": ("a.json", json.dumps({"data": EXPORT, "paging": {}}, indent=2), EXPORTED),
    "ThreatExchange, lines": ("a.jsonl", "\n\n".join(map(json.dumps, EXPORT)), EXPORTED),
    "array of texts": ("a.json", json.dumps([ONE.hex, TWO.hex]), [Entry(ONE), Entry(TWO)]),
    "empty array": ("a.json", "[]", []),
    "lines of texts": ("a.ndjson", f'"{ONE}"\n"{TWO}"\n', [Entry(ONE), Entry(TWO)]),
    "keys in upper case": ("a.json", json.dumps([{"HASH": ONE.hex, "Label": "x"}]), [Entry(ONE, "x")]),
    "tags as a list": ("a.json", json.dumps([{"hash": ONE.hex, "tags": ["a", "b"]}]), [Entry(ONE, "a, b")]),
    "label of any script": ("a.json", json.dumps([{"hash": ONE.hex, "label": "猫 🐈"}]), [Entry(ONE, "猫 🐈")]),
    "numbers and texts of numbers": (
        "a.jsonl",
        f'{{"hash": "{ONE}", "cluster": 18446744073709551615, "quality": "77"}}\n',
        [Entry(ONE, "", 2**64 - 1, 77)],
    ),
    "types of every spelling": (
        "a.csv",
        f"type,hash\nHASH_PDQ,{ONE}\npdq,{TWO}\nPdq,{THREE}\n,{ONE}\n",
        [Entry(ONE), Entry(TWO), Entry(THREE), Entry(ONE)],
    ),
    "empty file": ("a.csv", "", []),
    "header alone": ("a.csv", "hash,label\n", []),
}


@pytest.mark.parametrize(("name", "text", "expected"), SHAPES.values(), ids=SHAPES)
def test_lists_in_every_shape_are_read(name, text, expected, tmp_path):
    """Columns and keys are found by name, entries come in order."""
    assert read(tmp_path / name, text) == expected


def test_text_clusters_are_hashed_to_numbers(tmp_path):
    """A group named by text is the same group in every list; a number is that number."""
    text = f"hash,group\n{ONE},case 7\n{TWO},case 7\n{THREE},7\n"
    first, second, third = read(tmp_path / "a.csv", text)
    assert first.cluster == second.cluster == int.from_bytes(hashlib.sha256(b"cluster\0case 7").digest()[:8])
    assert third.cluster == 7


def test_rows_of_other_types_are_refused_and_counted(tmp_path):
    """An export of several kinds of signal gives the hashes of one, and says what it left out."""
    rows = [
        {"indicator": "d41d8cd98f00b204e9800998ecf8427e", "type": "HASH_MD5"},
        {"indicator": ONE.hex, "type": "HASH_PDQ"},
        {"indicator": "https://example.org", "type": "URI"},
        {"indicator": "d41d8cd98f00b204e9800998ecf8427f", "type": "HASH_MD5"},
    ]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(rows))
    refused: Counter[str] = Counter()
    assert list(read_hash_list(path, "pdq", lambda reason: refused.update([reason]))) == [Entry(ONE)]
    assert refused == {"type HASH_MD5": 2, "type URI": 1}


@pytest.mark.parametrize(
    ("algorithm", "kind"), [("pdq-512", "HASH_PDQ"), ("pdq-512", "pdq_512"), ("phash", "HASH_PHASH")]
)
def test_types_name_an_algorithm_or_its_family(algorithm, kind, tmp_path):
    """ThreatExchange knows one PDQ; which lineage a list is of, its reader says."""
    data = bytes(range(8 if algorithm == "phash" else 32))
    text = f"type,hash\n{kind},{data.hex()}\n"
    assert read(tmp_path / "a.csv", text, algorithm) == [Entry(PerceptualHash(algorithm, data))]


GOOD_JSON = json.dumps({"hash": ONE.hex})
WRONG_ON_LINE_3 = {
    "wrong digit": ("a.csv", f"hash\n{ONE}\n{ONE.hex[:-1]}g\n{TWO}\n"),
    "too short": ("a.txt", f"{ONE}\n{TWO}\n{ONE.hex[:-1]}\n"),
    "after a comment": ("a.txt", f"# list\n{ONE}\nnonsense\n"),
    "after an empty line": ("a.csv", f"hash\n\n{ONE.hex}0\n"),
    "hash left out": ("a.csv", f"label,hash\none,{ONE}\ntwo,\n"),
    "quality is no number": ("a.csv", f"hash,quality\n{ONE},90\n{TWO},good\n"),
    "line is no JSON": ("a.jsonl", f"{GOOD_JSON}\n{GOOD_JSON}\n{{hash}}\n"),
    "line is a number": ("a.jsonl", f"{GOOD_JSON}\n{GOOD_JSON}\n7\n"),
    "hash is a number": ("a.jsonl", f'{GOOD_JSON}\n\n{{"hash": 7}}\n'),
    "no hash": ("a.jsonl", f'{GOOD_JSON}\n{GOOD_JSON}\n{{"label": "x"}}\n'),
    "quality not a number": ("a.jsonl", f'{GOOD_JSON}\n{GOOD_JSON}\n{{"hash": "{ONE}", "quality": NaN}}\n'),
    "nested too deep": ("a.jsonl", f"{GOOD_JSON}\n{GOOD_JSON}\n" + "[" * 100_000 + "\n"),
    "third of an array": ("a.json", json.dumps([ONE.hex, TWO.hex, "nonsense"])),
}


@pytest.mark.parametrize(("name", "text"), WRONG_ON_LINE_3.values(), ids=WRONG_ON_LINE_3)
def test_a_wrong_row_is_named_by_file_and_line(name, text, tmp_path):
    """Whoever made the list can find the row."""
    path = tmp_path / name
    with pytest.raises(HashListError) as raised:
        read(path, text)
    assert str(raised.value).startswith(f"{path}, line 3: ")


def test_rows_before_a_wrong_one_are_given_first(tmp_path):
    """A list is read as a stream."""
    path = tmp_path / "a.txt"
    path.write_text(f"{ONE}\nnonsense\n")
    rows = read_hash_list(path, "pdq", lambda _: None)
    assert next(rows) == Entry(ONE)
    with pytest.raises(HashListError):
        next(rows)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", "{}"),
        ("a.json", '{"data": 1}'),
        ("a.json", "7"),
        ("a.json", ""),
        ("a.json", "[" * 100_000),
        ("a.csv", b"hash\n\xff\xfe\n"),
        ("a.csv", f"hash,label\n{ONE}," + "x" * 200_000),
        ("a.csv", ONE.hex.encode("utf-16")),
        ("a.csv", "a,b\n1,2\n"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_files_that_are_no_list_are_refused(name, text, tmp_path):
    """Other JSON, other encodings and other tables raise the one error, with the file's name."""
    with pytest.raises(HashListError, match=f"{name}, line "):
        read(tmp_path / name, text)


@pytest.mark.parametrize("place", ["missing.csv", "."])
def test_lists_that_cannot_be_read_are_a_storage_error(place, tmp_path):
    """A missing file and a folder are this machine's fault, not the list's."""
    with pytest.raises(StorageError, match="can't read"):
        list(read_hash_list(tmp_path / place, "pdq", lambda _: None))


def test_unknown_algorithms_are_refused(tmp_path):
    """Nothing is read for an algorithm that does not exist."""
    with pytest.raises(UnknownNameError):
        list(read_hash_list(tmp_path / "a.csv", "md5", lambda _: None))


PIECES = st.sampled_from(
    [
        ONE.hex, TWO.hex.upper(), "hash", "quality", "type", "HASH_PDQ", "label", ",", "\t", "\n", "\r", '"', "#", "{",
        "}", "[", "]", ":", '{"hash": "', '"}', "null", "7", "-1", "\0", "\ufeff", "\\ud800", "é", " ",
    ]
)  # fmt: skip


def entries_or_refusal(path: Path, data: bytes) -> None:
    """The one invariant of the reader."""
    path.write_bytes(data)
    try:
        entries = list(read_hash_list(path, "pdq", lambda _: None))
    except HashListError as raised:
        entries, message = [], str(raised)
    else:
        message = str(path)
    assert str(path) in message
    assert all(isinstance(entry, Entry) and entry.hash.bits == 256 for entry in entries)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt", ".json", ".jsonl"])
@given(
    data=st.one_of(st.binary(max_size=200), st.lists(PIECES, max_size=30).map(lambda parts: "".join(parts).encode()))
)
def test_any_bytes_are_entries_or_refused(suffix, data, tmp_path_factory):
    """A list decodes, or raises the one named error."""
    entries_or_refusal(tmp_path_factory.getbasetemp() / f"any{suffix}", data)


JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_infinity=False), st.text(max_size=5), st.just(ONE.hex)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=6,
)


@given(
    rows=st.lists(
        st.dictionaries(
            st.sampled_from(["hash", "indicator", "label", "tags", "cluster", "quality", "type", "data"]),
            JSON,
            max_size=6,
        ),
        max_size=4,
    )
)
def test_any_json_values_are_entries_or_refused(rows, tmp_path_factory):
    """Whatever stands under a known key, the row is read or the one error raised."""
    folder = tmp_path_factory.getbasetemp()
    entries_or_refusal(folder / "values.json", json.dumps(rows).encode())
    entries_or_refusal(folder / "values.jsonl", "\n".join(map(json.dumps, rows)).encode())
