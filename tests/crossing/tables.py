"""The tables of the business for the second reading, written out by hand: it reads nothing that talktime reads."""


def words(text: str) -> set[str]:
    """The words of a text."""
    return set(text.split())


# domain.md 3: the 44 countries where a conference's dial-out draws on minutes.
ZONE_A = words(
    "AU AT BE BR BG CA CN HR CZ DK EE FI FR DE GR HK HU IN IE IT JP LU MY MX NL NZ NO PL PT PR RO RU SG SK SI ZA KR ES SE"
    " CH TW TH GB US"
)

# domain.md 3: minutes for each licence and calendar month, by countries.
_LARGE = "US PR CA GB"
_SMALL = "AT BE HR CZ DK EE FI FR DE HU IE IT LV LT LU NL NZ NO PL PT RO SG SK SI ZA ES SE CH"
DOMESTIC_MINUTES: dict[tuple[str, str], int] = {}
INTERNATIONAL_MINUTES: dict[str, int] = {}
for _country in f"{_LARGE} {_SMALL} MX".split():
    DOMESTIC_MINUTES["MCOPSTN1", _country] = 3000 if _country in _LARGE.split() else 1200
    DOMESTIC_MINUTES["MCOPSTN2", _country] = 3000 if _country in _LARGE.split() else 1200
    INTERNATIONAL_MINUTES[_country] = 600
    if _country != "MX":
        DOMESTIC_MINUTES["MCOPSTN5", _country] = 120
        DOMESTIC_MINUTES["MCOPSTN6", _country] = 240
OWN_MINUTES = 120  # of MCOPSTN8, for its user alone
CONFERENCE_MINUTES = 60  # of MCOMEETADV over Zone A, and of its variant over USA and Canada

# domain.md 3: where the international minutes of MCOPSTN2 reach; AN is today BQ, CW and SX.
LISTED_ABROAD = words(
    "AD AE AF AG AI AL AM AN AO AR AS AT AU AW AZ BA BB BD BE BF BG BH BJ BM BN BO BR BS BT BW BY"
    " BZ CA CD CF CG CH CI CL CM CN CO CR CV CY CZ DE DJ DK DM DO DZ EC EE EG ER ES ET FI FJ FM FO"
    " FR GB GD GE GF GH GI GL GN GP GQ GR GT GU GY HK HN HR HT HU ID IE IL IN IQ IR IS IT JM JO JP"
    " KE KG KH KM KN KR KW KY KZ LA LB LC LI LK LS LT LU LV LY MA MC MD ME MH MK ML MM MN MO MP MQ"
    " MS MT MU MW MX MY MZ NA NC NE NG NI NL NO NP NZ OM PA PE PF PH PK PL PM PR PS PT PW PY QA RE"
    " RO RS RU RW SA SD SE SG SI SK SM SN SR SS SV SY SZ TC TG TH TJ TM TR TT TW TZ UA UG US UY UZ"
    " VA VC VE VG VI VN WF YE YT ZA ZM ZW"
)
RETIRED = {"BQ": "AN", "CW": "AN", "SX": "AN"}

# domain.md 8: what a conference may dial, and what a user may.
POLICIES = {
    "": ("any", "international"),
    "DialoutCPCandPSTNInternational": ("any", "international"),
    "DialoutCPCDomesticPSTNInternational": ("organizer_country", "international"),
    "DialoutCPCDisabledPSTNInternational": ("none", "international"),
    "DialoutCPCInternationalPSTNDomestic": ("any", "domestic"),
    "DialoutCPCInternationalPSTNDisabled": ("any", "none"),
    "DialoutCPCandPSTNDomestic": ("organizer_country", "domestic"),
    "DialoutCPCDomesticPSTNDisabled": ("organizer_country", "none"),
    "DialoutCPCDisabledPSTNDomestic": ("none", "domestic"),
    "DialoutCPCandPSTNDisabled": ("none", "none"),
    "DialoutCPCZoneAPSTNInternational": ("zone_a", "international"),
    "DialoutCPCZoneAPSTNDomestic": ("zone_a", "domestic"),
    "DialoutCPCZoneAPSTNDisabled": ("zone_a", "none"),
}

# domain.md 8: the only dear numbers that may be dialled, each from its own country alone. France and Austria support them all.
DEAR_SUPPORTED = {
    "FR": [""],
    "AT": [""],
    "GB": ["44843", "44844", "44845", "44870", "44871", "44872"],
}

# domain.md 1: the licences, by what they are. Calling plans stand in the order in which their pools are used.
CALLING_PLANS = ["MCOPSTN8", "MCOPSTN5", "MCOPSTN6", "MCOPSTN1", "MCOPSTN2", "MCOPSTN9"]
PAY_AS_YOU_GO = {"MCOPSTN_PAYG_1", "MCOPSTN_PAYG_2", "PAYG_MEXICO"}
CREDITS_LICENSES = {"MCOPSTNC", "MCOPSTNPP"}
CONFERENCING = {"MCOMEETADV", "MCOMEETADD_CN_GLOBAL", "MCOMEETADD_TATA", "MCOMEETADD_DIALOUT_US"}
PAY_PER_MINUTE = {"MCOMEETACPEA", "MCOMEETACPEA_GOV"}
UNLIMITED_US_CA = "CONF_DIALOUT_US_CA"
RESOURCE_ACCOUNT = {"MCOEV_VIRTUALUSER", "MCOEV_VIRTUALUSER_GOV", "MCOEV"}

# domain.md 2: the rows of the funding table, and inbound calls to a user's own number, of which the text above it speaks.
ROWS = [
    "user_out domestic",
    "user_out abroad with a domestic plan",
    "user_out abroad, listed",
    "user_out abroad, unlisted",
    "user_out pay-as-you-go",
    "user_out premium",
    "conf_out zone a",
    "conf_out outside zone a",
    "conf_out pay per minute",
    "conf_in toll",
    "conf_in toll-free",
    "conf_in pay per minute",
    "ucap_in toll-free",
    "ucap_in toll",
    "ucap_out",
    "unassigned_in",
    "user_in toll",
    "user_in toll-free",
]

# domain.md 8: what calls for help in the countries of the walk; it always passes, so its row of the table has no refusal.
EMERGENCY_NUMBERS = {
    "US": words("112 911"),
    "CA": words("112 911"),
    "PR": words("911"),
    "GB": words("112 999"),
    "FR": words("15 17 18 112"),
    "AT": words("112 122 133 144"),
    "DE": words("110 112"),
    "MX": words("060 065 066 068 080 911"),
    "ZW": words("112 993 994 995 999"),
    "JP": words("110 119"),
}
