"""Derives client/talktime/regions.csv from the phonenumbers library: `python tests/client/region_facts.py`
writes it anew.

The library is a tool of development; the client carries only the table.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

TABLE = Path(__file__).resolve().parents[2] / "client/talktime/regions.csv"
HEADER = ("region", "country_code", "international_prefix", "trunk_prefix", "lengths")
NO_COUNTRY = "001"

# Where a plain prefix and a length cannot say what the library's patterns say.
CORRECTIONS: dict[str, dict[str, str]] = {
    # Inside Belarus one dials 8 0 and nine digits; its longer service numbers begin with 8 themselves.
    "BY": {"trunk_prefix": "80", "lengths": "9"},
    # Seven digits are a local number everywhere in North America; Canada's 310 numbers look the same.
    "CA": {"lengths": "10"},
}


def table() -> str:
    """The whole table; of regions that share a country code, the country that owns it comes first."""
    text = io.StringIO()
    writer = csv.DictWriter(text, HEADER, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows())
    return text.getvalue()


def rows() -> Iterator[dict[str, str]]:
    for country_code, regions in sorted(COUNTRY_CODE_TO_REGION_CODE.items()):
        for region in regions:
            if region != NO_COUNTRY:
                yield row(region, country_code) | CORRECTIONS.get(region, {})


def row(region: str, country_code: int) -> dict[str, str]:
    facts = PhoneMetadata.metadata_for_region(region)
    assert facts is not None, region
    assert facts.international_prefix is not None, region
    assert facts.general_desc is not None, region
    return {
        "region": region,
        "country_code": str(country_code),
        "international_prefix": facts.international_prefix,
        "trunk_prefix": facts.national_prefix or "",
        "lengths": " ".join(str(length) for length in facts.general_desc.possible_length),
    }


if __name__ == "__main__":
    TABLE.write_text(table(), "ascii")
