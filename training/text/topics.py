"""What a review is about, by words: a lexicon, whose precision is measured on held-out texts that people read.

A word or a pair of words, found in its plain form, negated or not. A text may have several topics; one without any is
`other`. Words that mean several things in reviews (`quality` of a picture, `case` of a camera) are left out or stand
in a pair.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from fusionrec.text.features import term_hashes
from fusionrec.text.scoring import NAMED_TOPICS

# topic → (words, pairs of words)
TERMS: Final = {
    "delivery": (
        "delivery deliveries deliver delivered delivers shipping shipped shipment shipments courier ups fedex usps "
        "dhl postage dispatch dispatched arrive arrived arrives arriving",
        "ship to|days late|weeks late|got lost|in transit|tracking number|on time|came late|never came|overnight",
    ),
    "quality": (
        "quality defective defect defects defected faulty broken broke breaks flimsy sturdy durable durability "
        "fragile shoddy malfunction malfunctioned malfunctions malfunctioning craftsmanship workmanship solid "
        "reliable unreliable reliability cheaply rugged scratched scratches cracked lemon died froze freezes",
        "stopped working|stops working|quit working|well made|well built|poorly made|poorly built|badly made|"
        "feels cheap|fell apart|falls apart|falling apart|wears out|wore out|doesn't work|doesnt work|"
        "didn't work|didnt work|not work|not working|holds up|held up",
    ),
    "price": (
        "price prices priced pricing pricey expensive inexpensive cheaper cheapest affordable overpriced cost costs "
        "costly money bargain dollar dollars bucks $ refund rebate discount discounted worth",
        "for less|good deal|great deal|best deal|a steal|rip off|too much for",
    ),
    "size/fit": (
        "size sized sizes sizing fit fits fitted fitting bulky compact lightweight heavy weighs weight larger smaller "
        "oversized undersized tight loose width thick thin",
        "too big|too small|too large|too long|too short|too wide|too narrow|so small|small enough|very small|"
        "runs small|runs large|my pocket|your pocket|a pocket",
    ),
    "service": (
        "service support warranty rep representative representatives representitive helpdesk technician technicians "
        "unhelpful rude hotline complaint staff exchanged",
        "customer care|on hold|called them|return it|returned it|send it|sent it|their website|live chat|"
        "return policy|to return|exchange it",
    ),
    "packaging": (
        "packaging packaged package packages packed wrapped wrapping wrapper bubblewrap",
        "the box|in box|its box|original box|a box|came with|comes with|bubble wrap|shrink wrap|was sealed",
    ),
}


def terms() -> list[tuple[str, str]]:
    """(topic, word or pair of words)."""
    return [(topic, term) for topic in NAMED_TOPICS for term in (*TERMS[topic][0].split(), *TERMS[topic][1].split("|"))]


def table() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """hashes int64 (T,), membership float32 (T, 6): 1 where a term is of a topic."""
    hashes, rows = [], []
    for topic, term in terms():
        for code in term_hashes(term):
            hashes.append(code)
            rows.append([float(topic == name) for name in NAMED_TOPICS])
    return np.array(hashes, np.int64), np.array(rows, np.float32)
