"""Which uris are above and below others. Covers hl7.org/fhir/R4/search.html#uri."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.fhir.uri_paths import uri_below, uris_above


@pytest.mark.requirement("U2")
def test_r4s_own_examples() -> None:
    assert uri_below("http://acme.org/fhir/") == ("http://acme.org/fhir", "http://acme.org/fhir/")
    above = uris_above("http://acme.org/fhir/ValueSet/123/_history/5")
    assert "http://acme.org/fhir/ValueSet/123" in above
    assert "http://acme.org/fhir/" in above
    assert "http:" not in above
    assert "http://" not in above


@pytest.mark.parametrize("uri", ["urn:oid:1.2.3", "urn:a/b/c", "mailto:x/y", "http://", ""])
def test_what_is_no_url_is_above_and_below_itself_alone(uri: str) -> None:
    assert uris_above(uri) == [uri]
    assert uri_below(uri) == (uri, None)


urls = st.lists(st.sampled_from(["a", "b", "ab", ""]), min_size=1, max_size=4).map(
    lambda p: "http://x.org/" + "/".join(p)
)


@given(urls, urls)
def test_one_is_above_the_other_when_that_is_below_it(one: str, two: str) -> None:
    same, start = uri_below(one)
    below = two == same or (start is not None and two.startswith(start))
    if "//" not in (one + two).replace("http://", ""):
        assert (one.rstrip("/") in uris_above(two)) is (below or two.rstrip("/") == one.rstrip("/"))
