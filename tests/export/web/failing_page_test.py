"""The page where something of the browser or the host fails, in headless Chromium."""

import time

import pytest

from tests.chromium import wait_until
from tests.export.web.site_page import READY

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("web")]


@pytest.fixture
def context(chromium):
    context = chromium.new_context(service_workers="block")
    yield context
    context.close()


def test_the_page_works_where_its_data_are_blocked(context, address):
    denied = "throw new DOMException('Access is denied.', 'SecurityError');"
    page = context.new_page()
    page.add_init_script(
        f"Object.defineProperty(window, 'localStorage', {{ get() {{ {denied} }} }});"
    )
    page.goto(address)
    wait_until(page, READY)
    page.locator("#encoding").evaluate("(it) => it.dispatchEvent(new Event('change'))")
    assert not page.locator(".notice").count()


def test_a_worker_that_cannot_be_loaded_is_one_line_for_all_songs(
    context, address, songs
):
    page = context.new_page()
    page.route("**/worker.js", lambda route: route.abort())
    page.goto(address)
    page.locator(".notice").wait_for()
    line = "separation has stopped: the worker's script could not be loaded"
    assert page.inner_text(".notice p") == line
    assert page.inner_text("#engine") == "No model is loaded."
    page.set_input_files("#songs", [songs / "second.flac"])
    page.locator(".job.failed").wait_for()
    assert page.inner_text(".job .state") == line


def test_a_page_whose_script_does_not_run_says_why(context, address, small_site):
    page = context.new_page()
    page.goto((small_site / "index.html").as_uri())
    page.locator(".notice").wait_for()
    line = "This page does not run from the file system"
    assert page.inner_text(".notice").startswith(line)
    page.route("**/page.js", lambda route: route.abort())
    page.goto(address)
    page.locator(".notice").wait_for()
    line = "The page’s script cannot be loaded"
    assert page.inner_text(".notice").startswith(line)


def test_a_file_that_is_gone_is_one_line(context, address):
    page = context.new_page()
    page.goto(address)
    wait_until(page, READY)
    page.evaluate(
        """async () => {
            const root = await navigator.storage.getDirectory();
            const handle = await root.getFileHandle("gone.wav", { create: true });
            const writable = await handle.createWritable();
            await writable.write("RIFF");
            await writable.close();
            const transfer = new DataTransfer();
            transfer.items.add(await handle.getFile());
            await root.removeEntry("gone.wav");
            const event = { dataTransfer: transfer, bubbles: true, cancelable: true };
            document.dispatchEvent(new DragEvent("drop", event));
        }"""
    )
    page.locator(".job.failed").wait_for()
    line = "Cannot be read; was it a folder, or changed or removed?"
    assert page.inner_text(".job .state") == line


def test_a_model_that_fails_after_another_leaves_what_is_said_of_it(context, address):
    page = context.new_page()
    page.goto(address)
    wait_until(page, READY)
    page.evaluate(
        """async () => {
            const model = await (await fetch("models/mono.tflite")).blob();
            const transfer = new DataTransfer();
            transfer.items.add(new File([model], "good.tflite"));
            transfer.items.add(new File(["none"], "bad.tflite"));
            const event = { dataTransfer: transfer, bubbles: true, cancelable: true };
            document.dispatchEvent(new DragEvent("drop", event));
        }"""
    )
    page.locator(".notice").wait_for()
    wait_until(page, "!document.querySelector('#model').disabled")
    assert page.inner_text("#engine").startswith("Gives bass, drums, other")
    option = page.locator("#model option:checked")
    assert option.inner_text().startswith("good.tflite")


def test_a_song_that_comes_before_the_page_is_ready_is_separated(
    context, address, songs
):
    def late(route):
        time.sleep(1)
        route.continue_()

    page = context.new_page()
    page.route("**/models.json", late)
    page.goto(address, wait_until="domcontentloaded")
    page.set_input_files("#songs", [songs / "second.flac"])
    page.locator("#song").wait_for()
    assert page.inner_text("#song-title") == "second"
