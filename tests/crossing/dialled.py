"""The numbers that are called, each with the facts and the price that hold for it, by hand (domain.md 4). Rates are micros a
minute, in round figures; a number without a price has no row in the deck.
"""

from crossing.cases import Number, Price

SATELLITE = Price(5_000_000, 0, 1, 1)

NUMBERS = {
    # Ordinary numbers of the payers' countries; Japan's fixed lines have no price
    "us": Number("+12025550123", "US", price=Price(10_000)),
    "ca": Number("+14165550123", "CA", price=Price(20_000)),
    "pr": Number("+17875550123", "PR", price=Price(30_000)),
    "gb": Number("+442071838750", "GB", price=Price(40_000)),
    "fr": Number("+33142685300", "FR", price=Price(50_000)),
    "at": Number("+431588000", "AT", price=Price(60_000)),
    "de": Number("+493012345678", "DE", price=Price(70_000, 25_000)),
    "mx": Number("+525512345678", "MX", price=Price(80_000)),
    "zw": Number("+263712345678", "ZW", price=Price(400_000, 100_000)),
    "jp": Number("+819012345678", "JP", price=Price(130_001)),
    "jp fixed": Number("+81312345678", "JP"),
    "gb, any part of it": Number("+443331234567", "GB"),
    # Ordinary numbers elsewhere: in Zone A, listed for MCOPSTN2, neither, or both
    "ru": Number("+74951234567", "RU", price=Price(120_000)),
    "kz": Number("+77172123456", "KZ", price=Price(150_000)),
    "im": Number("+447624412345", "IM", price=Price(90_000)),
    "cu": Number("+5371234567", "CU", price=Price(900_000, 50_000)),
    "mg": Number("+261202123456", "MG", price=Price(600_000, 0, 60, 6)),
    "cw": Number("+59994351234", "CW", price=Price(200_000)),
    "bq": Number("+5997151234", "BQ", price=Price(210_000)),
    "sx": Number("+17215425678", "SX", price=Price(220_000)),
    "lt, unpriced": Number("+37052123456", "LT"),
    # Of no country
    "satellite 881": Number("+881612345678", "001", price=SATELLITE),
    "satellite 870": Number("+870773111632", "001", price=Price(7_000_000)),
    "premium 979": Number("+979123456789", "001", "premium", Price(2_000_000)),
    "shared 808": Number("+80812345678", "001", "shared_cost", Price(300_000)),
    # Dear numbers
    "gb 9": Number("+449098790123", "GB", "premium", Price(1_500_000)),
    "gb 843": Number("+448431234567", "GB", "shared_cost", Price(110_000, 50_000)),
    "gb 844": Number("+448441234567", "GB", "shared_cost", Price(110_000)),
    "gb 845": Number("+448451234567", "GB", "shared_cost", Price(10_000)),
    "gb 870": Number("+448701234567", "GB", "shared_cost", Price(120_000)),
    "gb 871": Number("+448711234567", "GB", "shared_cost", Price(140_000)),
    "gb 872": Number("+448721234567", "GB", "shared_cost"),
    "fr 892": Number("+33892123456", "FR", "premium", Price(800_000, 200_000)),
    "fr 899": Number("+33899123456", "FR", "premium"),
    "fr 810": Number("+33810123456", "FR", "shared_cost", Price(60_000)),
    "at 900": Number("+43900123456", "AT", "premium", Price(700_000)),
    "at 810": Number("+43810123456", "AT", "shared_cost", Price(65_000)),
    "de 900": Number("+499001234567", "DE", "premium", Price(1_000_000)),
    "us 900": Number("+19002345678", "US", "premium", Price(1_000_000)),
    # Toll-free numbers: calls that come in are priced by the caller's country where the deck has rows for it
    "us 800": Number(
        "+18002345678",
        "US",
        "toll_free",
        Price(100_000),
        (("", Price(30_000)), ("CA", Price(50_000)), ("PR", Price(70_000, 10_000))),
    ),
    "us 888": Number("+18882345678", "US", "toll_free", Price(100_000)),
    "fr 800": Number("+33800123456", "FR", "toll_free", None, (("", Price(45_000)),)),
    "gb 800, unpriced": Number("+448001234567", "GB", "toll_free"),
    "no country's 800": Number("+80012345678", "001", "toll_free", Price(250_000)),
}
CALLERS = {
    "": "",
    "US": "+12025550100",
    "CA": "+14165550100",
    "PR": "+17875550100",
    "GB": "+442071838700",
}
