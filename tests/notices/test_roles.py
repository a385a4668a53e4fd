"""Who hears of what: the roles of domain.md 6, by their old and their new names."""

import pytest

from notices.settings_kit import admin
from talktime_server.notices.notice import Channel, recipients
from talktime_server.notices.roles import hears, roles
from talktime_server.notices.targets import NoticeSettings, Targets, Webhook
from talktime_server.words import NoticeKind

MONEY, POOL = NoticeKind.BALANCE_ZERO, NoticeKind.POOL_80
# Roles, and whether their holder hears of money and of pools.
HEARING = [
    ("Billing Administrator", True, True),
    ("Skype for Business Administrator", True, False),
    ("Company Administrator", True, True),
    ("Global Administrator", True, True),
    ("User Account Administrator", True, True),
    ("User Administrator", True, True),
    ("Device Administrators", True, True),
    ("Azure AD Joined Device Local Administrator", True, True),
    ("Teams Service Administrator", True, True),
    ("Teams Administrator", True, True),
    ("Reports Reader", False, False),
    ("billing administrator", False, False),
]


@pytest.mark.parametrize(("role", "money", "pools"), HEARING)
def test_a_role_hears_of_what_is_its(role: str, money: bool, pools: bool) -> None:
    assert hears([role], MONEY) is money
    assert hears([role], POOL) is pools
    assert hears([role], NoticeKind.TEST)


def test_there_are_sixteen_roles() -> None:
    assert len(set(map(id, roles().values()))) == 16
    assert len(roles()) == 20


def test_every_kind_but_those_of_pools_goes_to_the_roles_of_money() -> None:
    only_money = ["Skype for Business Administrator"]
    deaf = {kind for kind in NoticeKind if not hears(only_money, kind)}
    assert deaf == {NoticeKind.POOL_80, NoticeKind.POOL_100}


def test_a_holder_of_several_roles_gets_one_mail() -> None:
    both = ("Billing Administrator", "Global Administrator")
    targets = Targets("USD", NoticeSettings((admin("ann", both), admin("ANN", both))))
    assert [each.address for each in recipients(targets, MONEY)] == ["ann@example.com"]


def test_webhooks_are_told_of_what_they_asked_for() -> None:
    hooks = (
        Webhook("all", "https://a.example.com/"),
        Webhook("pools", "https://b.example.com/", (POOL,)),
        Webhook("off", "https://c.example.com/", disabled=True),
    )
    targets = Targets("USD", NoticeSettings(), hooks)
    assert [each.address for each in recipients(targets, POOL)] == ["all", "pools"]
    (told,) = recipients(targets, MONEY)
    assert (told.channel, told.address) == (Channel.WEBHOOK, "all")
    assert [each.address for each in recipients(targets, NoticeKind.TEST)] == ["all", "pools"]
