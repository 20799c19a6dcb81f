"""The wall of images: whole, small, and what the kept models answer."""

import base64
import io
import re

import numpy as np
from PIL import Image

import fucore as fu
from fucore.companion import wall


def test_the_kept_wall_is_whole_small_and_of_the_references_images():
    data, case = wall.kept().data, fu.reference("mnist5k").cases[0]
    count = data["columns"] * data["rows"]
    assert len(data["images"]) == count and all(len(setting["right"]) == count for setting in data["settings"])
    assert all(len(image["retrained"]) == data["models"] == len(case.retrained) for image in data["images"])
    scores = [image["score"] for image in data["images"]]
    assert scores == sorted(scores, reverse=True)
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(data["sprite"].partition(",")[2]))))
    side = case.departed.images.shape[-1]
    shown = sheet.reshape(data["rows"], side, data["columns"], side).swapaxes(1, 2).reshape(count, -1)
    held = {image.tobytes() for image in case.departed.images.numpy().reshape(len(case.departed), -1)}
    assert all(image.tobytes() in held for image in shown), "the pictures are the client's own"
    assert len(wall.kept().to_html()) < 150_000


def test_the_wall_loads_nothing_and_says_everything_in_words():
    html = wall.kept().to_html()
    assert not re.findall(r"(?:src|href)=|https?://(?!www\.w3\.org)", html) and html.count("fu-tile") >= 96
    assert 'aria-live="polite"' in html and "@ID@" not in html and repr(wall.kept()).startswith("Wall('96 of the")
