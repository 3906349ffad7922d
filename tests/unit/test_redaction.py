"""Credentials in what is told: taken out, and nothing else."""

from __future__ import annotations

import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import BuildFailed, SourceError
from harness.redaction import without_secrets

PASSWORDS = st.text(string.ascii_letters + string.digits + "!$%^&*()-_=+@:/?#[]é", min_size=6, max_size=30)


@given(PASSWORDS)
def test_no_password_of_an_address_stays(password: str) -> None:
    told = without_secrets(f"cannot open http://someone:{quote(password, safe='')}@example.org/simple/: refused")
    assert told == "cannot open http://***@example.org/simple/: refused"


@given(PASSWORDS, st.sampled_from(["PIP_INDEX_URL", "HTTPS_PROXY", "HF_ENDPOINT", "UV_EXTRA_INDEX_URL"]))
def test_what_an_address_in_the_environment_holds_goes_wherever_it_stands(password: str, name: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(name, f"http://someone:{quote(password, safe='')}@example.org/simple")
        told = without_secrets(f"refused: <{password}> and <{quote(password, safe='')}>")
    assert told == "refused: <***> and <***>"


@pytest.mark.parametrize(
    ("name", "value"), [("HF_TOKEN", "s3cr3t-t0ken"), ("MY_PASSWORD", "correct horse"), ("OPENAI_API_KEY", "key-12345")]
)
def test_a_secret_variable_s_value_goes(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, f"{value}\n")
    assert without_secrets(f"header {value!r}") == "header '***'"


@pytest.mark.parametrize(
    "text", ["Authorization: Bearer abcdef", "hf_QrStUvWxYzAbCdEfGh", "https://ghp_token@example.org"]
)
def test_tokens_go(text: str) -> None:
    assert "***" in without_secrets(text)
    assert not {"abcdef", "hf_QrStUvWxYzAbCdEfGh", "ghp_token"} & set(without_secrets(text).replace("@", " ").split())


@pytest.mark.parametrize(
    "text", ["hf:org/name@main: no such file", "https://example.org/a@b", "me@example.org", "toy @ file:///tmp/a"]
)
def test_other_text_stays(text: str) -> None:
    assert without_secrets(text) == text


def test_an_error_never_holds_one() -> None:
    address = "http://me:passw0rd@example.org"
    for error in (SourceError(address, f"try {address}"), BuildFailed(address, address, f"log: {address}")):
        assert "passw0rd" not in f"{error} {error.problem} {error.cure} {error!r} {vars(error)}"
