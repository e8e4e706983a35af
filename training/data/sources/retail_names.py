"""From the retailer's till abbreviations to words that a shopper reads."""

from __future__ import annotations

import re
from typing import Final

# Abbreviations of the panel's product types and categories, most frequent first.
WORDS: Final = {
    "FRZN": "frozen", "FRZ": "frozen", "FROZ": "frozen", "SFT": "soft", "DRNK": "drink", "DRNKS": "drinks",
    "BTL": "bottle", "CARB": "carbonated", "CRBNTD": "carbonated", "INCL": "", "EXCP": "", "EX": "", "ET": "",
    "VEG": "vegetable", "VEGS": "vegetables", "FD": "food", "FDS": "foods", "REFRGRATD": "refrigerated",
    "SS": "single serve", "SNGL": "single", "SGL": "single", "SV": "serve", "SRV": "serve", "DNRS": "dinners",
    "DNR": "dinner", "MXS": "mixes", "MX": "mix", "PWDR": "powder", "CRYSTL": "crystal", "FLVRD": "flavoured",
    "DSH": "dishes", "BKD": "baked", "BRKFST": "breakfast", "WHLSM": "wholesome", "BN": "beans", "SALD": "salad",
    "DRSNG": "dressing", "SNDWCH": "sandwich", "SPRD": "spread", "WTR": "water", "TRSH": "trash", "BG": "bags",
    "PNT": "peanut", "BTR": "butter", "SPLY": "supplies", "MW": "microwave", "SW": "sweet", "GDS": "goods",
    "WT": "weight", "IWS": "wrapped slices", "RTS": "ready to serve", "MISC": "miscellaneous", "PK": "pack",
    "PKG": "packaged", "PCKGD": "packaged", "TISS": "tissue", "PKLD": "pickled", "MLT": "multi", "WHL": "whole",
    "FS": "french style", "CLEANG": "cleaning", "PREM": "premium", "VEND": "vending", "MACH": "machine",
    "CHICK": "chicken", "MNERAL": "mineral", "WATE": "water", "DRNKING": "drinking", "HANDKE": "handkerchiefs",
    "SPECILATY": "speciality", "CHOCOCLATE": "chocolate", "SUPPPLIES": "supplies", "CRMD": "creamed",
    "BR": "bread", "TORT": "tortilla", "HBC": "care", "GM": "general", "BEERALEMALT": "beer, ale, malt",
    "SAUCESSALSAPICANTEE": "sauces and salsa", "SHERBTS": "sherbets", "SWEETNERS": "sweeteners", "MIXS": "mixes",
    "15PK": "15 pack", "20PK": "20 pack", "24PK": "24 pack", "REG": "regular", "IQF": "", "CAR": "", "ALL": "",
    "ONLY": "", "INCLUDING": "", "CHOC": "chocolate",
}  # fmt: skip
GRADES: Final = {
    "PREMIUM", "LEAN", "MAINSTREAM", "TRADITIONAL", "ENHANCED", "PRIMAL", "BLENDS", "REGULAR", "ECONOMY", "OTHER",
    "MISCELLANEOUS", "SELECT", "CHOICE", "SUPER PREMIUM", "REGULAR GARDEN", "SMOKED/COOKED", "TRAY PACK",
}  # fmt: skip
SMALL: Final = {"and", "of", "with", "to", "the", "in", "on"}
SEPARATORS: Final = re.compile(r"\s*[(].*$|[:;]|\s+-\s*|\s*-\s+|-$")


def readable(text: str | None) -> str:
    """`SFT DRNK 2 LITER BTL CARB INCL` → `Soft Drink 2 Liter Bottle Carbonated`; empty for None."""
    if not text:
        return ""
    plain = SEPARATORS.sub(" ", text.upper()).replace("&", " and ").replace("/", " / ")
    words = [WORDS.get(word.strip("."), word).lower() for word in plain.split()]
    joined = re.sub(r"\s+", " ", " ".join(word for word in words if word))
    joined = re.sub(r"( /)+$|^(/ )+|( and)$", "", joined.strip()).replace(" / ", "/")
    return re.sub(r"[^\s/]+", lambda m: m[0] if m[0] in SMALL else m[0][:1].upper() + m[0][1:], joined)


def size(text: str | None) -> str:
    """`14.5 OZ` → `14.5 oz`, `2 L` → `2 L`."""
    return "" if not text else text if text.endswith(" L") else text.lower()


def product_name(product_type: str | None, category: str | None, package_size: str | None, brand: str) -> str:
    """`Condensed Soup, 10.5 oz, Brand 103`: what, how much, whose."""
    kind = readable(product_type)
    if not kind or (product_type or "").strip(" -") in GRADES:
        kind = ": ".join(part for part in (readable(category), kind) if part)
    return ", ".join(part for part in (kind, size(package_size), brand) if part)
