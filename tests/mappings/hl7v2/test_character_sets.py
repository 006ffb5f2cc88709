"""Text is decoded by MSH-18, by what is plainly there instead, or one character a byte, never lost.

Covers mappings/hl7v2/character_sets.py. Table 0211. All messages are synthetic.
"""

from __future__ import annotations

import codecs as python_codecs

import pytest

from mappings.hl7v2.character_sets import codecs
from mappings.hl7v2.message import Message, parse


def message(text: bytes, declared: bytes = b"", charset: str = "") -> Message:
    head = b"MSH|^~\\&|A|B|C|D|2026||ADT^A01|1|P|2.5||||||" + declared
    return parse(head + b"\rPID|1||7||" + text + b"^Zoe|M\r", charset)


def warned(read: Message) -> list[str]:
    return [warning.code for warning in read.warnings]


@pytest.mark.parametrize(
    ("declared", "codec", "text"),
    [
        ("UNICODE UTF-8", "utf-8", "Žofie Ñandú 山田"),
        ("8859/1", "iso8859-1", "Müller-Ñandú"),
        ("8859/2", "iso8859-2", "Žofie Dvořák"),
        ("8859/5", "iso8859-5", "Анна"),
        ("8859/7", "iso8859-7", "Ελένη"),
        ("8859/8", "iso8859-8", "דנה"),
        ("8859/15", "iso8859-15", "Œuvre €"),
        ("GB 18030-2000", "gb18030", "張偉 㐀"),
        ("BIG-5", "big5", "許功蓋"),
        ("KS X 1001", "euc_kr", "김철수"),
        ("ISO IR14", "shift_jis", "ﾔﾏﾀﾞ"),
        ("SHIFT_JIS", "shift_jis", "表ソ能 山田"),
        ("~ISO IR87", "iso2022_jp_ext", "山田太郎"),
        ("ISO IR6~ISO IR87~ISO IR159", "iso2022_jp_ext", "山田|^~"),
        ("WINDOWS-1252", "cp1252", "“Ana”"),
    ],
)
def test_text_is_read_in_the_declared_character_set(declared: str, codec: str, text: str) -> None:
    text = text.replace("|^~", "")
    read = message(text.encode(codec), declared.encode())
    assert read.get("PID-5").text == text
    assert read.get("PID-5.2").text == "Zoe"
    assert read.get("PID-6").text == "M"
    assert read.charset == codec
    assert warned(read) == []
    position = read.get("PID-5").position
    assert read.raw[position.start : position.end].decode(codec) == text


def test_bytes_of_other_characters_are_no_separators() -> None:
    for codec, declared in (("shift_jis", b"SHIFT_JIS"), ("big5", b"BIG-5"), ("gb18030", b"GB 18030-2000")):
        for high in range(0x81, 0xFF):
            for low in b"|^~\\&":
                character = bytes((high, low))
                try:
                    text = character.decode(codec)
                except UnicodeDecodeError:
                    continue
                if len(text) > 1:
                    continue  # a character of one byte, then a separator
                read = message(b"a" + character + b"b", declared)
                assert read.get("PID-5").text == f"a{text}b", (codec, character)
                assert read.get("PID-5.2").text == "Zoe"


def test_japanese_text_between_escapes_holds_no_separators() -> None:
    text = "".join(chr(point) for point in range(0x4E00, 0x4F00) if _encodes(chr(point), "iso2022_jp"))
    read = message(text.encode("iso2022_jp"), b"~ISO IR87")
    assert any(mark in text.encode("iso2022_jp") for mark in b"|^~&")
    assert read.get("PID-5").text == text
    assert read.get("PID-5.2").text == "Zoe"


def _encodes(character: str, codec: str) -> bool:
    try:
        character.encode(codec)
    except UnicodeEncodeError:
        return False
    return True


@pytest.mark.parametrize("declared", [b"8859/1", b"8859/2", b"8859/15", b"ISO-8859-1"])
def test_utf8_under_a_declared_latin_set_is_read_as_utf8_with_a_warning(declared: bytes) -> None:
    read = message("Müller".encode(), declared)
    assert read.get("PID-5").text == "Müller"
    assert read.charset == "utf-8"
    assert warned(read) == ["character-set"]
    assert read.warnings[0].position == "MSH[1]-18[1].1.1"


def test_windows_1252_under_declared_latin_1_is_read_with_a_warning() -> None:
    read = message("“Ana” – €".encode("cp1252"), b"8859/1")
    assert read.get("PID-5").text == "“Ana” – €"
    assert warned(read) == ["character-set"]


@pytest.mark.parametrize("declared", [b"", b"ASCII", b"ISO IR6"])
def test_text_beyond_ascii_that_nothing_declares_is_utf8_or_windows_1252(declared: bytes) -> None:
    assert message("Müller".encode(), declared).get("PID-5").text == "Müller"
    read = message("Müller €".encode("cp1252"), declared)
    assert read.get("PID-5").text == "Müller €"
    assert warned(read) == ["character-set"]


def test_a_byte_order_mark_declares_utf8() -> None:
    read = parse(b"\xef\xbb\xbfMSH|^~\\&|M\xc3\xbcller\r")
    assert read.get("MSH-3").text == "Müller"
    assert warned(read) == []


def test_what_does_not_decode_is_one_character_a_byte_and_the_rest_is_right() -> None:
    read = message("Müller".encode() + b"\xff", b"UNICODE UTF-8")
    assert read.get("PID-5").text == "MÃ¼ller\xff"
    assert read.get("PID-5").text.encode("iso8859-1") == read.get("PID-5").raw
    assert warned(read) == ["character-set"]
    other = message(b"\xff^\xc3\xa9", b"UNICODE UTF-8")
    assert other.get("PID-5.2").text == "é"


def test_a_set_that_is_not_known_is_a_warning() -> None:
    read = message("Müller".encode(), b"KLINGON")
    assert read.get("PID-5").text == "Müller"
    assert warned(read)[0] == "character-set"
    assert warned(message(b"Ana", b"CNS 11643-1992")) == ["character-set"]


def test_a_configured_set_counts_instead_of_the_declared_one() -> None:
    text = "Žofie".encode("iso8859-2")
    assert message(text, b"8859/1", "8859/2").get("PID-5").text == "Žofie"
    assert message("Žofie".encode(), b"8859/2", "UNICODE UTF-8").get("PID-5").text == "Žofie"
    assert warned(message(text, b"", "8859/2")) == []
    assert warned(message(text, b"", "UNICODE UTF-8")) == ["character-set"]
    assert "character-set" in warned(message(b"Ana", b"", "no such set"))


def test_bytes_that_escapes_stand_for_are_decoded_with_the_rest() -> None:
    assert message(rb"M\XC3BC\ller", b"UNICODE UTF-8").get("PID-5").text == "Müller"
    assert message(rb"M\XFC\ller", b"8859/1").get("PID-5").text == "Müller"
    assert message(rb"M\XFC\ller", b"UNICODE UTF-8").get("PID-5").text == "Müller"


def test_every_codec_that_is_named_is_one_of_text() -> None:
    for name, codec in codecs().items():
        assert name == name.upper()
        assert python_codecs.lookup(codec)._is_text_encoding
        assert "MSH|".encode(codec) == b"MSH|"
