"""The drug vocabulary. Covers: RxNorm technical documentation (term types), domain 3.2."""

from decimal import Decimal

import pytest

from terminology.drug_records import Precision
from terminology.rxnorm import RxNorm, ndc11_forms

ANCHORS = {
    "314076": "lisinopril 10 MG Oral Tablet",
    "104377": "lisinopril 10 MG Oral Tablet [Zestril]",
    "197885": "hydrochlorothiazide 12.5 MG / lisinopril 10 MG Oral Tablet",
    "861007": "metformin hydrochloride 500 MG Oral Tablet",
    "855332": "warfarin sodium 5 MG Oral Tablet",
    "313988": "furosemide 40 MG Oral Tablet",
    "200809": "furosemide 40 MG Oral Tablet [Lasix]",
    "312961": "simvastatin 20 MG Oral Tablet",
    "866436": "24 HR metoprolol succinate 50 MG Extended Release Oral Tablet",
    "866514": "metoprolol tartrate 50 MG Oral Tablet",
    "198051": "omeprazole 20 MG Delayed Release Oral Capsule",
    "966221": "levothyroxine sodium 0.05 MG Oral Tablet",
    "198116": "potassium chloride 20 MEQ Extended Release Oral Tablet",
    "312941": "sertraline 50 MG Oral Tablet",
    "198145": "prednisone 10 MG Oral Tablet",
    "313096": "spironolactone 25 MG Oral Tablet",
    "309362": "clopidogrel 75 MG Oral Tablet",
    "311041": "insulin glargine 100 UNT/ML Injectable Solution",
    "835603": "tramadol hydrochloride 50 MG Oral Tablet",
    "197604": "digoxin 0.125 MG Oral Tablet",
    "197361": "amlodipine 5 MG Oral Tablet",
    "617310": "atorvastatin 20 MG Oral Tablet",
    "243670": "aspirin 81 MG Oral Tablet",
    "1364445": "apixaban 5 MG Oral Tablet",
    "29046": "lisinopril",
    "6809": "metformin",
    "11289": "warfarin",
    "4603": "furosemide",
    "36567": "simvastatin",
    "7646": "omeprazole",
    "10582": "levothyroxine",
    "5487": "hydrochlorothiazide",
    "274783": "insulin glargine",
}


@pytest.mark.parametrize(("rxcui", "name"), ANCHORS.items())
def test_an_anchor_code_has_its_exact_name_and_ingredients(rxnorm: RxNorm, rxcui: str, name: str) -> None:
    concept = rxnorm.concept(rxcui)
    assert concept is not None
    assert concept.name == name
    drug = rxnorm.drug(rxcui)
    assert drug is not None
    assert drug.components
    assert all(component.ingredient for component in drug.components)


@pytest.mark.parametrize("rxcui", [code for code, name in ANCHORS.items() if " " in name and code != "274783"])
def test_a_product_knows_strength_form_and_generic(rxnorm: RxNorm, rxcui: str) -> None:
    drug = rxnorm.drug(rxcui)
    assert drug is not None
    assert drug.precision is Precision.PRODUCT
    assert drug.product is not None
    assert drug.form
    assert all(component.value and component.unit for component in drug.components)


def test_a_brand_folds_to_its_generic_product(rxnorm: RxNorm) -> None:
    brand, generic = rxnorm.drug("104377"), rxnorm.drug("314076")
    assert brand is not None
    assert generic is not None
    assert (brand.brand, generic.brand) == ("Zestril", None)
    assert brand.product == generic.product == generic.concept


def test_a_salt_is_folded_to_its_ingredient_and_kept(rxnorm: RxNorm) -> None:
    tartrate, succinate = rxnorm.drug("866514"), rxnorm.drug("866436")
    assert tartrate is not None
    assert succinate is not None
    assert tartrate.components[0].ingredient == succinate.components[0].ingredient
    assert [tartrate.components[0].name, succinate.components[0].name] == [
        "metoprolol tartrate",
        "metoprolol succinate",
    ]
    assert (tartrate.release, succinate.release) == ("immediate", "extended 24 h")


def test_strengths_are_in_ucum(rxnorm: RxNorm) -> None:
    insulin, potassium, combination = (rxnorm.drug(code) for code in ("311041", "198116", "197885"))
    assert insulin is not None
    assert potassium is not None
    assert combination is not None
    assert [(c.value, c.unit, c.per) for c in insulin.components] == [(Decimal(100), "[iU]", "mL")]
    assert [(c.value, c.unit, c.per) for c in potassium.components] == [(Decimal(20), "meq", None)]
    assert [c.value for c in combination.components] == [Decimal("12.5"), Decimal(10)]


def test_a_strength_without_form_gives_the_product_only_if_there_is_one(rxnorm: RxNorm) -> None:
    only, several = rxnorm.drug("315971"), rxnorm.drug("1370489")
    assert only is not None
    assert only.precision is Precision.COMPONENT
    assert only.inferred
    assert only.product is not None
    assert only.product.rxcui == "313988"
    assert several is None or several.product is None or several.inferred


def test_a_pack_contains_the_ingredients_of_its_parts_but_no_filler(rxnorm: RxNorm) -> None:
    pack = rxnorm.drug("751905")
    assert pack is not None
    assert sorted(c.name for c in pack.components) == ["ethinyl estradiol", "norgestimate"]
    assert pack.product is not None
    assert pack.product.tty == "GPCK"


@pytest.mark.parametrize("code", ["0", "", "not a code", "99999999"])
def test_an_unknown_code_is_nothing(rxnorm: RxNorm, code: str) -> None:
    assert rxnorm.concept(code) is None
    assert rxnorm.drug(code) is None


@pytest.mark.parametrize(
    ("ndc", "forms"),
    [
        ("0002-3227-30", ("00002322730",)),
        ("50242-040-62", ("50242004062",)),
        ("60575-4112-1", ("60575411201",)),
        ("00002-3227-30", ("00002322730",)),
        ("00002322730", ("00002322730",)),
        ("0002322730", ("00002322730", "00023022730", "00023227300")),
        ("abc", ()),
        ("12-34", ()),
        ("١٢٣٤٥٦٧٨٩٠", ()),
    ],
)
def test_an_ndc_of_ten_digits_is_padded_in_its_short_segment(ndc: str, forms: tuple[str, ...]) -> None:
    assert ndc11_forms(ndc) == forms


def test_an_ndc_names_its_product(rxnorm: RxNorm) -> None:
    product = rxnorm.by_ndc("16729030216")
    assert product is not None
    assert product.rxcui == "856369"
    assert rxnorm.by_ndc("16729-0302-16") == product
    assert rxnorm.by_ndc("99999-9999-99") is None


@pytest.mark.parametrize(
    ("text", "rxcui"),
    [
        ("lisinopril 10 MG Oral Tablet", "314076"),
        ("LISINOPRIL 10 mg ORAL tablet", "314076"),
        ("Lasix 40mg", "200809"),
        ("warfarin 5 mg tablet", "855332"),
        ("metoprolol succinate 50 mg ER tablet", "866436"),
        ("lisinopril-HCTZ 20-25 mg tab", "197887"),
        ("Zestril (lisinopril) 10 mg", "104377"),
        ("Sertraline 100MG", "328670"),
    ],
)
def test_a_written_drug_is_read(rxnorm: RxNorm, text: str, rxcui: str) -> None:
    match = rxnorm.by_name(text)
    assert match is not None
    assert [concept.rxcui for concept in match.concepts] == [rxcui]


@pytest.mark.parametrize(
    ("text", "ingredient"),
    [("metoprolol 50 mg", "metoprolol"), ("metformin HCl 500 mg tablet", "metformin")],
)
def test_a_tie_is_never_picked(rxnorm: RxNorm, text: str, ingredient: str) -> None:
    match = rxnorm.by_name(text)
    assert match is not None
    assert len(match.concepts) > 1
    assert [found.name for found in match.ingredients] == [ingredient]


@pytest.mark.parametrize(
    "text",
    ["grandma's blue pill", "lsnoprl 10 mg", "lisinopril 10 mg or something", "", "10 mg", "tablet", "/"],
)
def test_a_text_with_a_word_that_is_not_understood_names_nothing(rxnorm: RxNorm, text: str) -> None:
    assert rxnorm.by_name(text) is None


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("lisinoprill 10 mg", "lisinopril 10 MG"),
        ("metfromin hydrochloride 500 MG Oral Tablet", "metformin hydrochloride 500 MG Oral Tablet"),
        ("spironolactne 25 mg tablet", "spironolactone 25 MG Oral Tablet"),
        ("Celebrax 200 mg capsule", "celecoxib 200 MG Oral Capsule [Celebrex]"),
    ],
)
def test_a_slip_of_the_pen_is_read_as_the_one_drug_it_can_mean(rxnorm: RxNorm, text: str, meant: str) -> None:
    match = rxnorm.by_name(text)
    assert match is not None
    assert [concept.name for concept in match.concepts] == [meant]
    assert match.corrections
    assert not match.exact


@pytest.mark.parametrize(
    "text",
    [
        # Two slips from hydralazine, three from hydroxyzine; both come in 25 mg.
        "hydroxalazine 25 mg tablet",
        # One slip from prednisone, two from prednisolone; both come in 10 mg.
        "prednissone 10 mg tablet",
        # The first letter has to be right.
        "tisinopril 10 mg",
        # Near lisinopril, but that does not come in 12 mg.
        "lisinoprill 12 mg",
    ],
)
def test_a_word_between_two_drugs_or_without_their_strength_is_not_guessed(rxnorm: RxNorm, text: str) -> None:
    assert rxnorm.by_name(text) is None


def test_a_brand_without_a_code_is_known_by_its_products(rxnorm: RxNorm) -> None:
    alone, with_strength = rxnorm.by_name("Lipitor"), rxnorm.by_name("lipitor 40 mg tab")
    assert alone is not None
    assert with_strength is not None
    assert (alone.concepts, [found.name for found in alone.ingredients]) == ((), ["atorvastatin"])
    assert [found.name for found in with_strength.concepts] == ["atorvastatin 40 MG Oral Tablet [Lipitor]"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("hydralazine", "hydroxyzine"),
        ("bupropion", "buspirone"),
        ("metformin", "metronidazole"),
        ("clonidine", "clonazepam"),
        ("glipizide", "glyburide"),
        ("prednisone", "prednisolone"),
        ("tramadol", "trazodone"),
        ("Celebrex", "Celexa"),
    ],
)
def test_look_alike_names_stay_apart(rxnorm: RxNorm, one: str, other: str) -> None:
    first, second = rxnorm.by_name(one), rxnorm.by_name(other)
    assert first is None or second is None or not set(first.ingredients) & set(second.ingredients)
    assert not (first is None and second is None)


def test_classes_are_those_of_the_ingredient(rxnorm: RxNorm) -> None:
    assert [c.name for c in rxnorm.classes("29046")] == ["Angiotensin Converting Enzyme Inhibitor"]
    assert rxnorm.classes("0") == ()


def test_products_are_found_by_their_whole_set_of_ingredients(rxnorm: RxNorm) -> None:
    found = {drug.concept.rxcui for drug in rxnorm.products(["29046", "5487"])}
    assert "197885" in found
    assert "314076" not in found
    assert found == {drug.concept.rxcui for drug in rxnorm.products(["5487", "29046", "5487"])}
