"""Image files of every kind: the right pixels, or one sentence that names the file and the cure."""

import zlib

import numpy as np
import pytest
from PIL import Image

import fucore as fu

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (6, 8), dtype=np.uint8)
PALETTE = Image.fromarray(COLOUR).quantize(16)


def data_with(tmp_path, save, name="odd.png"):
    """A data set whose first image is what ``save(path)`` writes."""
    for part in ("train", "test"):
        for kind in ("cat", "dog"):
            (tmp_path / part / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(COLOUR).save(tmp_path / part / kind / "plain.png")
    save(tmp_path / "train" / "cat" / name)
    return f"folder:{tmp_path}"


def with_alpha(mode, least):
    image = Image.fromarray(COLOUR if mode == "RGBA" else GREY).convert(mode)
    image.putalpha(Image.fromarray(np.maximum(GREY, least)))
    return image


def png_16_bit_colour(path):
    """Pillow reads 16-bit colours but cannot write them, so the file is made by hand."""
    rows = b"".join(b"\0" + row.tobytes() for row in (COLOUR.astype(">u2") * 257))

    def chunk(kind, content):
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    header = (8).to_bytes(4, "big") + (6).to_bytes(4, "big") + bytes([16, 2, 0, 0, 0])
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def rotated(path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(np.rot90(COLOUR)).save(path, exif=exif)


@pytest.mark.parametrize(
    "save, name, expected",
    [
        (lambda path: Image.fromarray(COLOUR).save(path), "odd.png", COLOUR),
        (lambda path: Image.fromarray(COLOUR).save(path), "odd.bmp", COLOUR),
        (lambda path: Image.fromarray(GREY).save(path), "odd.png", np.stack([GREY] * 3, -1)),
        (lambda path: Image.fromarray(GREY > 127).save(path), "odd.png", np.stack([(GREY > 127) * 255] * 3, -1)),
        (lambda path: PALETTE.save(path), "odd.png", np.asarray(PALETTE.convert("RGB"))),
        (lambda path: PALETTE.save(path), "odd.gif", np.asarray(PALETTE.convert("RGB"))),
        (lambda path: with_alpha("RGBA", 255).save(path), "odd.png", COLOUR),
        (lambda path: with_alpha("LA", 255).save(path), "odd.png", np.stack([GREY] * 3, -1)),
        (lambda path: PALETTE.save(path, transparency=bytes([255] * 16)), "odd.png", np.asarray(PALETTE.convert("RGB"))),
        (rotated, "odd.png", COLOUR),
        (rotated, "odd.tif", COLOUR),
    ],
    ids="rgb bmp grey black-and-white palette gif opaque opaque-grey opaque-palette rotated rotated-tiff".split(),
)
def test_pixels_are_what_viewers_show(tmp_path, save, name, expected):
    image = fu.load(data_with(tmp_path, save, name)).train.images[0]
    assert np.array_equal(image.permute(1, 2, 0).numpy(), expected)


def test_a_cameras_previews_do_not_replace_its_photograph(tmp_path):
    def save(path):
        Image.fromarray(COLOUR).save(path, format="MPO", save_all=True, append_images=[Image.fromarray(255 - COLOUR)], quality=95)

    image = fu.load(data_with(tmp_path, save, "odd.jpg")).train.images[0].permute(1, 2, 0).numpy().astype(int)
    assert abs(image - COLOUR).mean() < abs(image - (255 - COLOUR.astype(int))).mean()


def animated(path):
    Image.fromarray(COLOUR).save(path, save_all=True, append_images=[Image.fromarray(255 - COLOUR)])


@pytest.mark.parametrize(
    "save, name, sentence",
    [
        (
            lambda path: Image.fromarray(GREY.astype(np.uint16) * 257).save(path),
            "odd.png",
            "odd.png is of 16 or 32 bits a pixel: save it with 8",
        ),
        (lambda path: Image.fromarray(GREY.astype(np.uint16) * 257).save(path), "odd.tif", "odd.tif is of 16 or 32 bits"),
        (lambda path: Image.fromarray(GREY.astype(np.int32) * 257).save(path), "odd.tif", "odd.tif is of 16 or 32 bits"),
        (png_16_bit_colour, "odd.png", "odd.png is of 16 or 32 bits"),
        (lambda path: Image.fromarray(GREY.astype(np.float32) / 255).save(path), "odd.tif", "odd.tif is of float pixels"),
        (lambda path: Image.fromarray(COLOUR).convert("CMYK").save(path), "odd.jpg", "odd.jpg is in CMYK, the colours of print: save it"),
        (lambda path: Image.fromarray(COLOUR).convert("CMYK").save(path), "odd.tif", "odd.tif is in CMYK"),
        (lambda path: Image.fromarray(COLOUR).convert("LAB").save(path), "odd.tif", "odd.tif is in the mode LAB"),
        (lambda path: with_alpha("RGBA", 0).save(path), "odd.png", "odd.png has transparent pixels: put it on a background"),
        (lambda path: with_alpha("LA", 0).save(path), "odd.png", "odd.png has transparent pixels"),
        (lambda path: PALETTE.save(path, transparency=bytes([0, *[255] * 15])), "odd.png", "odd.png has transparent pixels"),
        (lambda path: PALETTE.save(path, transparency=0), "odd.gif", "odd.gif has transparent pixels"),
        (lambda path: Image.fromarray(GREY).save(path, transparency=int(GREY[0, 0])), "odd.png", "odd.png has transparent pixels"),
        (lambda path: Image.fromarray(COLOUR).save(path, transparency=tuple(map(int, COLOUR[0, 0]))), "odd.png", "has transparent pixels"),
        (animated, "odd.gif", "odd.gif holds several images: save the one that is meant"),
        (animated, "odd.png", "odd.png holds several images"),
        (animated, "odd.tif", "odd.tif holds several images"),
        (lambda path: path.write_text("a note"), "odd.txt", "odd.txt cannot be read as an image .*: remove or replace it"),
        (lambda path: path.write_bytes(b""), "odd.png", "odd.png cannot be read as an image"),
        (lambda path: path.mkdir(), "odd", "odd cannot be read as an image"),
        (lambda path: path.symlink_to("nowhere"), "odd.png", "odd.png cannot be read as an image"),
        (lambda path: Image.fromarray(COLOUR[:5]).save(path), "odd.png", "8 x 5 pixels|8 x 6 pixels"),
    ],
)
def test_what_would_be_a_guess_is_refused_by_name(tmp_path, save, name, sentence):
    with pytest.raises(fu.FucoreError, match=sentence) as error:
        fu.load(data_with(tmp_path, save, name))
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


@pytest.mark.parametrize("name", ["odd.png", "odd.jpg", "odd.gif", "odd.bmp", "odd.tif"])
def test_every_way_of_cutting_a_file_off_is_told(tmp_path, name):
    big = Image.fromarray(RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8))
    place = data_with(tmp_path, lambda path: big.save(path), name)
    file = tmp_path / "train" / "cat" / name
    whole = file.read_bytes()
    for share in (0.05, 0.3, 0.6, 0.9):
        file.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(fu.FucoreError, match=f"{name} cannot be read as an image"):
            fu.load(place, image_size=8)


def test_what_systems_leave_behind_is_no_data(tmp_path):
    place = data_with(tmp_path, lambda path: Image.fromarray(GREY).save(path))
    clean = fu.load(place)
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._odd.png"):
        (tmp_path / "train" / "cat" / name).write_bytes(b"\0\1")
    for name in (".ipynb_checkpoints", "__MACOSX", "@eaDir"):
        for folder in ("train", "test", "train/dog"):
            (tmp_path / folder / name).mkdir()
    again = fu.load(place)
    assert again.classes == clean.classes == ("cat", "dog") and again.hash == clean.hash


def test_a_class_without_images_is_named(tmp_path):
    place = data_with(tmp_path, lambda path: Image.fromarray(COLOUR).save(path))
    (tmp_path / "train" / "bird").mkdir()
    with pytest.raises(fu.FucoreError, match="train/bird holds no images: put some in, or remove the folder"):
        fu.load(place)


def test_images_larger_than_the_memory_are_refused_before_they_are_read(tmp_path, monkeypatch, digits):
    place = data_with(tmp_path, lambda path: Image.fromarray(COLOUR).save(path))
    monkeypatch.setattr("fucore.data.dataset.memory", lambda: 3 * 3 * 45 * 45)
    assert fu.load(place, image_size=10).shape == (3, 10, 10)
    for count, act in ((3, lambda: fu.load(place, image_size=50)), (1797, lambda: digits.resized(50))):
        with pytest.raises(
            fu.FucoreError, match=f"^{count} images of 50 x 50 pixels take .* GiB, more than .*: choose a smaller image_size"
        ):
            act()
