"""Synthetic messages for the tests of the parser: no person, no site and no event in them exists."""

from __future__ import annotations

import pytest

ADT = (
    b"MSH|^~\\&|SYNTHETIC|WEST^1.2.3.4^ISO|BATON|HOME|20260301120000-0500||ADT^A01^ADT_A01|M0001|P|2.5.1|||AL|NE",
    b"EVN||20260301115900-0500|||OP7^Test^Clerk",
    b"PID|1||T-100^^^WEST&1.2.3.4&ISO^MR~555^^^STATE^SS||Probe^Ana^B^^Dr.^^L~Muster^Ana^^^^^M||19500214|F"
    b"|||1 Elm\\T\\Oak St^^Springfield^IL^62701^USA^H||^PRN^PH^^1^217^5550100|||M",
    b"PD1|||Practice \\F\\ West^^P1",
    b"NK1|1|Probe^Ben|SPO^Spouse^HL70063",
    b'PV1|1|I|W1^12^B^WEST^^^Main|||""|D1^Test^Doc|||MED||||7|||D1^Test^Doc|I|V-77^^^WEST|||||||||||||||||||||'
    b"||||20260301113000-0500",
    b"AL1|1|DA|7980^Penicillin^RXNORM|SV|Hives~Rash",
    b"DG1|1||I50.9^Heart failure^I10||20260301|A",
)

ORU = (
    b"MSH|^~\\&|SYNTHETIC|LAB|BATON|HOME|20260301130000||ORU^R01^ORU_R01|M0002|P|2.5.1",
    b"PID|1||T-100^^^WEST",
    b"PV1|1|I|W1",
    b"ORC|RE|P1|F1",
    b"OBR|1|P1|F1|24323-8^Panel^LN",
    b"NTE|1||About the order",
    b"OBX|1|NM|2345-7^Glucose^LN||5.4|mmol/L",
    b"NTE|1||About the first",
    b"OBX|2|NM|2160-0^Creatinine^LN||88|umol/L",
    b"OBR|2|P1|F2|57021-8^Count^LN",
    b"OBX|1|NM|718-7^Haemoglobin^LN||8.1|mmol/L",
    b"SPM|1||^|BLD",
)


@pytest.fixture
def adt() -> bytes:
    """An admission, clean."""
    return b"".join(line + b"\r" for line in ADT)


@pytest.fixture
def oru() -> bytes:
    """Results of two orders, clean."""
    return b"".join(line + b"\r" for line in ORU)
