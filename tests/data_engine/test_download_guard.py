"""Which addresses and links are let through; public addresses against Python's own tables."""

import ipaddress

import pytest

from fgdet.data_engine.download_guard import (
    DeadLink,
    allow_private,
    check_link,
    host_address,
    is_public,
    without_credentials,
)

PRIVATE = """
    127.0.0.1 127.255.255.254 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0
    224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255 192.0.2.1 198.18.0.1 203.0.113.9 168.63.129.16
    :: ::1 fe80::1 fec0::1 fc00::1 fd00:ec2::254 ff02::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::127.0.0.1
    64:ff9b::7f00:1 64:ff9b:1::1 2002:7f00:1:: 2001:0:1::1 2001:db8::1 100::1
""".split()  # noqa: SIM905
PUBLIC = '8.8.8.8 1.1.1.1 172.32.0.1 100.128.0.1 2606:4700::1111 ::ffff:8.8.8.8 64:ff9b::808:808'.split()  # noqa: SIM905


@pytest.mark.parametrize('text', PRIVATE)
def test_is_public__private_and_special(text: str) -> None:
    address = ipaddress.ip_address(text)
    assert not is_public(address, 80)
    assert allow_private(address, 80)


@pytest.mark.parametrize('text', PUBLIC)
def test_is_public__public(text: str) -> None:
    assert is_public(ipaddress.ip_address(text), 80)


def test_is_public__never_more_than_pythons_table() -> None:
    """One address of each /16 of IPv4, and of each /16 of IPv6."""
    for high in range(1 << 16):
        old = ipaddress.IPv4Address((high << 16) + 77)
        assert not is_public(old) or (old.is_global and not old.is_multicast), old
        new = ipaddress.IPv6Address((high << 112) + 77)
        assert not is_public(new) or (new.is_global and not new.is_multicast), new


@pytest.mark.parametrize(
    ('host', 'address'),
    [
        ('127.0.0.1', '127.0.0.1'),
        ('2130706433', '127.0.0.1'),
        ('0x7f000001', '127.0.0.1'),
        ('0177.0.0.1', '127.0.0.1'),
        ('0x7F.1', '127.0.0.1'),
        ('127.1', '127.0.0.1'),
        ('10.1.2.3.', '10.1.2.3'),
        ('::1', '::1'),
        ('::ffff:7f00:1', '::ffff:127.0.0.1'),
        ('example.com', None),
        ('1.2.3.example', None),
        ('localhost', None),
    ],
)
def test_host_address__spellings(host: str, address: str | None) -> None:
    assert host_address(host) == (address and ipaddress.ip_address(address))


@pytest.mark.parametrize(
    ('link', 'reason'),
    [
        ('', 'no-link'),
        ('  ', 'no-link'),
        ('example.com/a.jpg', 'bad-url'),
        ('//example.com/a.jpg', 'bad-url'),
        ('file:///etc/passwd', 'bad-url'),
        ('ftp://example.com/a.jpg', 'bad-url'),
        ('gopher://127.0.0.1:70/_x', 'bad-url'),
        ('data:image/png;base64,AAAA', 'bad-url'),
        ('javascript:alert(1)', 'bad-url'),
        ('http://', 'bad-url'),
        ('http:///path', 'bad-url'),
        ('http://a b/', 'bad-url'),
        ('http://a\r\nHost: b/', 'bad-url'),
        ('http://example.com:0/', 'bad-url'),
        ('http://example.com:70000/', 'bad-url'),
        ('http://256.1.1.1/', 'bad-url'),
        ('http://1.2.3.4.5/', 'bad-url'),
        ('http://999999999999/', 'bad-url'),
        ('http://[::1/', 'bad-url'),
        ('http://[fe80::1%25eth0]/', 'bad-url'),
        ('http://a..b/', 'bad-url'),
        ('http://' + 'a' * 70_000, 'bad-url'),
        ('http://\ud800.com/', 'bad-url'),
    ],
)
def test_check_link__refused(link: str, reason: str) -> None:
    with pytest.raises(DeadLink) as caught:
        check_link(link)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ('link', 'sent'),
    [
        (' HTTP://Example.COM/A b.jpg?q=1#part ', 'http://example.com/A%20b.jpg?q=1'),
        ('https://user:secret@example.com:8443/x', 'https://example.com:8443/x'),
        ('http://b\u00fccher.de/\u00fc', 'http://xn--bcher-kva.de/%C3%BC'),
        ('http://my_host.example./', 'http://my_host.example./'),
    ],
)
def test_check_link__what_is_sent(link: str, sent: str) -> None:
    url = check_link(link)
    assert f'{url.scheme}://{url.netloc.decode()}{url.raw_path.decode()}' == sent
    assert 'secret' not in str(url)


@pytest.mark.parametrize(
    ('link', 'shown'),
    [
        ('http://user:secret@example.com/a@b', 'http://example.com/a@b'),
        ('user:secret@example.com/a', 'example.com/a'),
        ('http:/u:p@q@example.com', 'http:/example.com'),
        ('http:\\\\u:p@example.com', 'http:\\\\example.com'),
        ('https://example.com/x?mail=a@b.c', 'https://example.com/x?mail=a@b.c'),
    ],
)
def test_without_credentials(link: str, shown: str) -> None:
    assert without_credentials(link) == shown
