"""What the names of a release hold beyond the names themselves: their words, and brands without a code.

Reading it takes a tenth of a second, once; most texts never need it.
"""

from __future__ import annotations

import re
from collections import defaultdict

from terminology.names import fold, known_words
from terminology.spelling import Spelling
from terminology.store import Store

_BRAND = re.compile(r"\[([^\]]+)\]$")
_SHORTEST_WORD = 4


class Lexicon:
    """`branded`: folded brand -> codes of its products, where the release has no concept of the brand.

    `spelling`: every word of a name of an ingredient or brand, and every word known beside names.
    """

    def __init__(self, store: Store) -> None:
        names = {fold(name) for _, _, name in store.of_types("IN", "PIN", "MIN", "BN")}
        products: dict[str, list[str]] = defaultdict(list)
        for code, _, name in store.of_types("SBD", "BPCK"):
            if brand := _BRAND.search(name):
                products[fold(brand[1])].append(code)
        self.branded = {brand: tuple(codes) for brand, codes in products.items() if brand not in names}
        words = {word for name in (*names, *self.branded) for word in name.split()}
        self.spelling = Spelling(word for word in words | known_words() if len(word) >= _SHORTEST_WORD)
