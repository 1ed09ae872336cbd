"""Logging in to a dashboard on loopback whose pages are Horizon's, shortened."""

from collections.abc import Iterator
from concurrent.futures import Future
from urllib.parse import parse_qs

import pytest
from keystoneauth1.session import Session

from components.cloud.clients import ADMIN, DEMO
from tests import stacks
from tests.verify import servers
from tests.verify.servers import Answer, Request, Web
from tools.verify import ask, dashboard
from tools.verify.model import Login, UnansweredError, Visit

PASSWORD = "not-to-be-seen-anywhere"

FORM = """\
<!DOCTYPE html><html><head><title>Login - OpenStack Dashboard</title></head><body id="splash">
<noscript><div class="alert alert-danger text-center javascript_disabled">This needs JavaScript.</div></noscript>
<form id="" class="ng-pristine" method="POST" action="/dashboard/auth/login/" autocomplete="off">
  <input type="hidden" name="csrfmiddlewaretoken" value="token-of-the-form">
  {complaint}
  <div class="fake_credentials" style="display: none">
    <input type="text" name="fake_email" value="" />
    <input type="password" name="fake_password" value="" />
  </div>
  <input type="hidden" name="next" value="/dashboard/" />
  <input type="text" name="username" class="form-control" id="id_username">
  <input type="password" name="password" class="form-control" id="id_password">
  <input type="text" name="domain" class="form-control" id="id_domain">
  <input type="hidden" name="region" value="default" id="id_region">
</form></body></html>
"""
COMPLAINT = """\
<div class="form-group clearfix error help-block alert alert-danger">
  <ul class="errorlist nonfield"><li>Invalid credentials.</li></ul>
</div>"""
PAGE = """\
<!DOCTYPE html><html><body><ul class="nav navbar-nav navbar-right">
<li class="dropdown user-menu"><a href="#" class="dropdown-toggle"><span class="fa fa-user"></span>
  <span class="user-name">
    myuser</span></a>
</li></ul><span class="other">somebody else</span></body></html>
"""
LOGIN = "/dashboard/auth/login/"


@pytest.fixture
def horizon() -> Iterator[Web]:
    """A dashboard that lets everybody in as myuser."""
    with servers.web() as served:
        served.answers |= {
            f"GET {LOGIN}": Answer(200, FORM, {"Set-Cookie": "csrftoken=token-of-the-cookie; Path=/"}),
            f"POST {LOGIN}": Answer(302, "", {"Location": "/dashboard/", "Set-Cookie": "sessionid=session; Path=/"}),
            "GET /dashboard/settings/": Answer(200, PAGE),
        }
        yield served


def test_a_user_is_logged_in_with_the_form_s_own_fields(horizon: Web) -> None:
    visit = dashboard.log_in(f"{horizon.url}/dashboard", "myuser", PASSWORD)
    assert (visit.path, visit.user) == ("/dashboard/settings/", "myuser")
    assert visit.seconds > 0
    lines = [request.line for request in horizon.requests]
    assert lines == [f"GET {LOGIN}", f"POST {LOGIN}", "GET /dashboard/settings/"]
    filled = horizon.requests[1]
    assert parse_qs(filled.body) == {
        "csrfmiddlewaretoken": ["token-of-the-form"],
        "next": ["/dashboard/"],
        "region": ["default"],
        "username": ["myuser"],
        "password": [PASSWORD],
        "domain": ["Default"],
    }
    assert filled.headers["Referer"] == f"{horizon.url}{LOGIN}"
    assert filled.headers["Cookie"] == "csrftoken=token-of-the-cookie"
    assert "sessionid=session" in horizon.requests[2].headers["Cookie"]


def test_a_page_that_shows_nobody_is_told_so(horizon: Web) -> None:
    horizon.answers["GET /dashboard/settings/"] = Answer(200, FORM)
    assert dashboard.log_in(f"{horizon.url}/dashboard", "myuser", PASSWORD).user == ""


def test_a_refused_login_is_told_with_the_dashboard_s_own_words(horizon: Web) -> None:
    horizon.answers[f"POST {LOGIN}"] = Answer(200, FORM.format(complaint=COMPLAINT))
    with pytest.raises(UnansweredError) as told:
        dashboard.log_in(f"{horizon.url}/dashboard", "myuser", PASSWORD)
    assert str(told.value) == f"{horizon.url}{LOGIN}: HTTP 200 to the filled form: Invalid credentials."


@pytest.mark.parametrize(
    ("line", "answer", "detail"),
    [
        (f"GET {LOGIN}", Answer(500, "It broke."), f"{LOGIN}: HTTP 500 without a login form"),
        (f"GET {LOGIN}", Answer(200, "It works!"), f"{LOGIN}: HTTP 200 without a login form"),
        (f"POST {LOGIN}", Answer(403, "CSRF"), f"{LOGIN}: HTTP 403 to the filled form: no complaint"),
        (f"POST {LOGIN}", Answer(302, "", {"Location": "/horizon/"}), f"{LOGIN}: leads to {{url}}/horizon/"),
        ("GET /dashboard/settings/", Answer(504, "late"), "/dashboard/settings/: HTTP 504"),
    ],
)
def test_each_step_that_goes_wrong_is_told(horizon: Web, line: str, answer: Answer, detail: str) -> None:
    horizon.answers[line] = answer
    with pytest.raises(UnansweredError) as told:
        dashboard.log_in(f"{horizon.url}/dashboard", "myuser", PASSWORD)
    assert str(told.value) == horizon.url + detail.format(url=horizon.url)


def test_every_user_is_logged_in_with_its_own_password_whatever_the_others_get(
    horizon: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = stacks.load("compact")
    monkeypatch.setattr(ask, "dashboard_url", lambda _: f"{horizon.url}/dashboard")
    let_in = horizon.answers[f"POST {LOGIN}"]
    refuse = Answer(200, FORM.format(complaint=COMPLAINT))

    def play(request: Request) -> Answer | None:
        if not request.line.startswith("POST"):
            return None
        return let_in if lab.secrets.value("admin_identity_password") in request.body else refuse

    horizon.play = play
    token = Future[Login]()
    token.set_result(Login(session=Session(), project="", roles=(), catalog=()))
    visits = ask.visit(lab.site, lab.secrets, {DEMO: token, ADMIN: token})
    assert isinstance(visits["myuser"], UnansweredError)
    assert isinstance(visits["admin"], Visit)


def test_a_dashboard_that_keeps_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard, "SECONDS", 0.2)
    with servers.silent() as port, pytest.raises(UnansweredError, match="timed out"):
        dashboard.log_in(f"http://127.0.0.1:{port}/dashboard", "myuser", PASSWORD)


def test_a_dashboard_that_is_not_there_is_told() -> None:
    url = f"http://127.0.0.1:{servers.closed()}/dashboard"
    with pytest.raises(UnansweredError, match=rf"^{url}/auth/login/: .*refused") as told:
        dashboard.log_in(url, "myuser", PASSWORD)
    assert PASSWORD not in str(told.value)
