"""A live explorer: the kernel's side in a real kernel, the page's side in a real browser, and messages carried between them."""

import json
import pathlib
import time

import pytest
from test_book import browser  # noqa: F401  the fixture

from fucore.companion.widgets import front

CODE = """
import json, fucore as fu
from fucore.companion import live
data = fu.load("digits", train_size=400)
fed = fu.Federation(data, fu.partition.dirichlet(data.train.labels, 4, 0.5), "mlp", fu.LocalTraining(epochs=1), store=None)
case = fu.case(fed, fu.forget.client(0), 3, retrained=3)
slow = [False]

def here(rho, alpha):
    if alpha == float("inf"):
        raise fu.FucoreError("alpha must be finite here.")
    rounds = 2000 if rho == 1.0 else 2
    unlearned = fu.unlearn("fedmemprune", case, ratio=rho, rounds=rounds)
    return fu.explorers.ratio_frame(fu.compare({"here": unlearned}, case, bootstrap=50), "here", case, unlearned)

explorer = fu.explorers.both(here)
widget = explorer.live()
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3", cwd=str(pathlib.Path(__file__).parents[1]))
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run(client, code):
    """Run code in the kernel and return what its last expression's JSON says."""
    told = []
    reply = client.execute_interactive(code, timeout=300, output_hook=lambda message: told.append(message))
    assert reply["content"]["status"] == "ok", reply["content"].get("traceback")
    texts = [message["content"]["text"] for message in told if message["msg_type"] == "stream" and message["content"]["name"] == "stdout"]
    return json.loads("".join(texts)) if texts else None


@pytest.mark.long
def test_a_live_explorer_computes_shows_progress_cancels_and_says_what_went_wrong(browser, kernel, tmp_path):  # noqa: F811
    run(kernel, CODE)
    comm = run(kernel, "print(json.dumps(widget.model_id))")
    data = run(kernel, "print(json.dumps(widget.data))")
    script = front("js").replace("export default { render };", "window.render = render;")
    page = tmp_path / "live.html"
    page.write_text(
        f"<!doctype html><meta charset=utf-8><style>{front('css')}</style><div id=here></div><script id=data type='application/json'>"
        + json.dumps(data).replace("<", "\\u003c")
        + f"</script><script type=module>{script};"
        "window.sent = []; let hear; window.hear = (message) => hear(message);"
        "const model = {get: () => JSON.parse(document.getElementById('data').textContent), send: (message) => window.sent.push(message), on: (name, act) => { hear = act; }};"
        "render({model, el: document.getElementById('here')});</script>"
    )
    browser.get(page.as_uri())

    def carry(until, seconds=120):
        """Carry messages both ways until the page says so."""
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end, browser.find_element("id", "here").text
            for message in browser.execute_script("return window.sent.splice(0)"):
                content = {"comm_id": comm, "data": {"method": "custom", "content": message}}
                kernel.shell_channel.send(kernel.session.msg("comm_msg", content))
            try:
                told = kernel.get_iopub_msg(timeout=0.05)
            except Exception:  # queue.Empty: nothing was said
                continue
            if told["msg_type"] == "comm_msg" and told["content"]["data"].get("method") == "custom":
                browser.execute_script("window.hear(arguments[0])", told["content"]["data"]["content"])

    find = lambda selector: browser.find_elements("css selector", f"#here {selector}")
    text = lambda selector: find(selector)[0].get_attribute("textContent") if find(selector) else ""
    next(label for label in find(".fu-choice label") if label.text == "this notebook's data").click()
    carry(lambda: text(".fu-panel-say .fu-note") != "")
    assert len(find(".fu-panel-rows .fu-row")) == 6 and len(find(".fu-curve")) == 2

    def turn(knob, place):
        """Set a slider as a finger does, and let go."""
        act = "arguments[0].value=arguments[1];for(const e of ['input','change'])arguments[0].dispatchEvent(new Event(e,{bubbles:true}))"
        browser.execute_script(act, find(".fu-knob input")[knob], place)

    path = lambda: find(".fu-curve.fu-own path")[0].get_attribute("d")
    first = path()
    turn(0, 3)
    carry(lambda: path() != first)
    assert text(".fu-knob output") == "0.15"
    turn(0, 20)
    carry(lambda: find("progress")[0].is_displayed() and "rounds" in text(".fu-status"))
    find(".fu-button:not([hidden])")[-1].click()
    carry(lambda: "Cancelled" in text(".fu-status"))
    assert not find("progress")[0].is_displayed()
    turn(0, 3)
    turn(1, int(find(".fu-knob input")[1].get_attribute("max")))
    carry(lambda: text(".fu-status") == "alpha must be finite here.")
