"""Section 2.11: the code tables, as they are and as they are read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mappings.tables import TableError, load, overlaid, read, table, tables
from server.terminology import shipped

HEADER = "code,system,target,display,equivalence,note,source\n"
ROW = "A,http://a.example,B,Words,equivalent,,site\n"
# Systems that R4 does not enumerate.
OPEN = re.compile(r"http://(loinc\.org|snomed\.info/sct|unitsofmeasure\.org)|urn:(ietf|iso|oid):.*|")


def expect(name: str, pairs: str) -> None:
    rows = table(name).rows
    for pair in pairs.split():
        codes, target = pair.split(">")
        for code in codes.split(","):
            assert rows[code].target == target, (name, code)


@pytest.mark.parametrize(
    ("name", "pairs"),
    [
        ("0001", "F>female M>male O,A,N>other U>unknown"),
        ("0002", "A,E>L D>D M>M C>C I>I W>W S>S G,P,R>T N>A B>U U>UNK O>OTH T>NAVU"),
        (
            "0003-status",
            "A01,A02,A04,A12,A13>in-progress A03>finished A05,A14>planned A11,A27,A38>cancelled A08,A31>",
        ),
        ("0004", "E>EMER I>IMP O>AMB P>PRENC R>R B>B C>C N>N U>U"),
        ("0004-status", "P>planned U>unknown E,I,O,R,B,C,N>in-progress"),
        ("0007", "A>A E>E L>L R>R N>N U>U C>C"),
        ("0038", "CA,DC,RP>revoked CM>completed ER>entered-in-error HD>on-hold IP,SC,A>active"),
        (
            "0038-medication",
            "A,IP,SC>active CM>completed CA>cancelled DC,RP>stopped HD>on-hold ER>entered-in-error",
        ),
        ("0063", "SEL>ONESELF SPO>SPS DOM>SIGOTHR CHD>CHILD GCH>GRNDCHILD NCH>NCHILD SCH>STPCHLD FCH>CHLDFOST"),
        ("0063", "PAR>PRN MTH>MTH FTH>FTH GRP>GRPRN EXF>EXT SIB>SIB BRO>BRO SIS>SIS FND>FRND"),
        ("0063", "EMR>E EMC>C UNK>U OTH>O"),
        ("0063-subscriber", "SEL>self SPO>spouse PAR,MTH,FTH>child CHD,NCH,SCH,FCH>parent"),
        ("0344", "01>self 02>spouse 03,04,05,06>child 18>parent"),
        ("0085", "A,B>amended C>corrected D,W>entered-in-error F,V,U>final P,S,R>preliminary X>cancelled"),
        ("0085", "I>registered N,O>"),
        ("0123", "O,I,S,N>registered P>preliminary A,R>partial C>corrected F>final X>cancelled M>amended Y,Z>"),
        ("0119", "AF,NW,OK,PR,PY,RL,RO,RQ,HD>active CR,DC,DF,DR,OC,OD,CA>revoked HR,OH>on-hold"),
        ("0119", "FU>completed RE,SC,XO,XX,SN,NA,UA,UC>"),
        ("0119-medication", "NW,OK,RE,RL,OE,OR,OF>active CA,OC,CR>cancelled DC,OD,DR>stopped"),
        ("0119-medication", "HD,HR,OH>on-hold DE>entered-in-error"),
        ("0119-task", "NW,RF>fulfill CA,DC>abort HD>suspend RL>resume"),
        ("0127", "DA>medication FA>food EA,PA,LA>environment AA>biologic MA,MC>"),
        ("0127-type", "DA,FA,EA,PA,LA,AA,MA>allergy MC>"),
        ("0128", "SV>severe MO>moderate MI>mild U>"),
        ("0128-criticality", "SV>high MI>low MO,U>"),
        ("0190", "BA>old BI>billing C>temp B,O>work H>home M,SH>"),
        ("0190-type", "M,SH>postal"),
        ("0200", "L,R>official M>maiden N>nickname D>usual BAD>old MSK>anonymous TEMP,NAV>temp C>"),
        ("0201", "PRN,VHN>home WPN>work PRS>mobile NET>"),
        ("0202", "PH,CP>phone FX>fax BP>pager Internet,X.400>email MD,SAT,TDD,TTY>other"),
        (
            "0203",
            "MR>MR PI>PI PT>PT SS>SS AN>AN VN>VN DL>DL NI>NI NPI>NPI SN>SN MB>MB PLAC>PLAC FILL>FILL PGN>PGN",
        ),
        ("0162", "IM>IM IV>IVINJ SC>SQ PO>PO ID>IDINJ TD>TRNSDERM B>B"),
        ("0322", "CP,PA>completed RE,NA>not-done"),
        ("0278", "Pending>pending Waitlist>waitlist Booked>booked Started>checked-in Complete>fulfilled"),
        ("0278", "Cancelled>cancelled Deleted>entered-in-error Noshow>noshow Blocked,Overbook,Discontinued>"),
        ("0485", "S>stat A>asap R>routine TS,TM,TH,TD>"),
        ("0136", "Y>true N>false"),
        ("0443", "AD>ADM AT>ATND CP>CON RP>REF PP>PP"),
        ("0276", "CHECKUP>866149003 FOLLOWUP>185389009 EMERGENCY>373110003 ROUTINE>3780001"),
        ("0271", "AU,LA>final DI,DO,IN,IP,PA>preliminary"),
        ("0273", "AV>current CA>entered-in-error OB,UN>superseded"),
        ("0052", "A>AD W>W F>F"),
        ("0217", "1>EM 2>UR 3>EL"),
        ("0283", "A>active P>draft R>revoked"),
        ("nip001", "00> 01>record 04>recall"),
        ("0065-intent", "G>reflex-order L>order"),
        ("0074-category", "CH,HM,MB>laboratory RAD,CT>imaging PT>"),
        ("0003-appointment", "S14>booked S15,S22>cancelled S17>entered-in-error S26>noshow"),
        ("0003-document", "T05,T06>appends T09,T10>replaces T01>"),
        ("0038-statement", "A>active CM>completed CA>not-taken DC>stopped HD>on-hold ER>entered-in-error"),
        ("0119-statement", "NW,RE,SN>active DC>stopped HD>on-hold DE>entered-in-error"),
        ("0344", "09> 15>injured"),
        ("0006", "CAT>1041 MET>MET"),
    ],
)
def test_a_table_says_what_the_rules_say(name: str, pairs: str) -> None:
    expect(name, pairs)


def test_0078_interpretations_are_v3_but_for_those_that_v3_does_not_have() -> None:
    rows = table("0078").rows
    assert rows["H"].system.endswith("v3-ObservationInterpretation")
    assert {code for code, row in rows.items() if row.system.endswith("v2-0078")} >= {
        "AC",
        "HM",
        "OBX",
        "QCF",
        "TOX",
    }
    assert "deprecated" in rows["MS"].note + rows["VS"].note


def test_0112_discharge_dispositions_are_the_sites_own() -> None:
    assert not table("0112").rows


@pytest.mark.parametrize("name", sorted(tables()))
def test_every_target_is_a_code_of_its_system_in_r4(name: str) -> None:
    for row in table(name).rows.values():
        assert bool(row.target) or row.equivalence == "unmatched"
        assert row.source
        system = shipped.code_system(row.system)
        if row.system.startswith(("http://terminology.hl7.org", "http://hl7.org")) and system is not None:
            assert row.target in system.concepts or row.note == "newer than R4", row
        elif row.target:
            assert OPEN.fullmatch(row.system) or row.system.startswith("http"), row


def test_inverting_a_relationship_twice_gives_the_first() -> None:
    direct, inverted = table("0344").rows, table("0063-subscriber").rows
    assert {row.target for row in direct.values()} <= {row.target for row in inverted.values()} | {
        "injured",
        "",
    }


def test_a_code_is_looked_up_as_sent_then_in_another_case_then_as_any() -> None:
    found = read("t", HEADER + "a,,1,,equal,,s\nA,,2,,equal,,s\nBc,,3,,equal,,s\n*,,4,,equal,,s\n")
    assert [found.row(code).target for code in ("a", "A", "bC", "z")] == ["1", "2", "3", "4"]  # type: ignore[union-attr]


def test_the_rows_of_an_overlay_win_and_its_tables_are_added() -> None:
    base = {"t": read("t", f"{HEADER}{ROW}C,,D,,equal,,s\n")}
    over = {"t": read("t", HEADER + "A,,X,,equal,,site\n"), "u": read("u", HEADER + ROW)}
    joined = overlaid(base, over)
    assert joined["t"].row("A").target == "X"  # type: ignore[union-attr]
    assert joined["t"].row("C").target == "D"  # type: ignore[union-attr]
    assert "u" in joined
    assert base["t"].row("A").target == "B"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("code,target\n", 1),
        (f"{HEADER}A,,B\n", 2),
        (f"{HEADER}{ROW}{ROW}", 3),
        (f"{HEADER},,B,,equal,,s\n", 2),
        (f"{HEADER}A,,B,,roughly,,s\n", 2),
    ],
)
def test_a_mistake_in_a_table_is_told_with_its_line(text: str, line: int) -> None:
    with pytest.raises(TableError) as caught:
        read("t", text)
    assert caught.value.line == line
    assert "t.csv" in str(caught.value)


def test_a_folder_is_read_whole_and_bytes_that_are_no_utf_8_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\ufeff" + HEADER + ROW, "utf-8")
    assert load(tmp_path)["a"].row("A") is not None
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(TableError):
        load(tmp_path)
