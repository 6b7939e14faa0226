"""The player in a browser: what it draws, how it is moved, what happens where it cannot draw."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ds4d import viewer
from ds4d.cameras import orbit_cameras
from ds4d.clip.square_path import Travel
from ds4d.export.packed import pack
from ds4d.splatting.splats import render
from tests.export.test_packed import as_version_1
from tests.viewer.ball import SIZE, Ball, arrived, pixels, still

NO_WEBGL = """
const context = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
  return kind.startsWith("webgl") ? null : context.call(this, kind, ...more);
};"""


def camera(page) -> dict[str, float]:
    return page.evaluate("player.camera")


def middle(page) -> tuple[float, float]:
    box = page.locator("ds4d-player canvas").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


# --- what it draws ------------------------------------------------------------------------------


def test_its_pixels_are_those_of_the_rasterizer(visit, ball):
    page = visit()
    still(page)
    views = [(0, 0, 0.0), (50, 25, 0.5), (200, -30, 1.0), (300, 70, 0.29), (-35, 5, 0.72)]
    for azimuth, elevation, time in views:
        page.evaluate(
            "([azimuth, elevation, time]) => { player.camera = { azimuth, elevation };"
            " player.time = time; }",
            [azimuth, elevation, time],
        )
        drawn = pixels(page)
        cameras = orbit_cameras([azimuth], elevation, size=SIZE)
        colors, alphas, _ = render(ball.splats(time), cameras, background=0.0)
        expected = np.concatenate([colors[0].numpy(), alphas[0].numpy()], -1)
        assert drawn.shape == expected.shape
        assert drawn[..., 3].max() > 0.9
        error = np.square(drawn - expected).mean()
        assert -10 * math.log10(error) > 45, (azimuth, elevation, time)


def test_a_file_of_version_1_keeps_its_colours(visit, site, packed):
    (site.folder / "old.ds4d").write_bytes(as_version_1(packed))
    drawn = []
    for source in ("ball.ds4d", "old.ds4d"):
        page = visit(source=source)
        still(page)
        first = pixels(page)
        page.evaluate("player.time = 1")
        drawn.append((first, pixels(page)))
    (first, last), (old_first, old_last) = drawn
    assert np.abs(first - old_first).max() == 0
    assert np.abs(last - old_last).mean() > 0.005  # the new file's have faded


def test_near_gaussians_hide_far_ones_from_every_side(visit):
    page = visit()
    still(page)
    page.evaluate("player.camera = { radius: 0.9, azimuth: 90 }")  # the ball is cut by no limit
    near = pixels(page)
    page.evaluate("player.camera = { azimuth: -90 }")
    assert np.abs(near - pixels(page)[:, ::-1]).mean() > 0.02


def test_a_wide_stage_shows_the_same_object_in_its_middle(visit):
    page = visit(width=2 * SIZE + 2)
    still(page)
    page.evaluate("player.style.setProperty('--ds4d-aspect', 2)")
    wide = pixels(page)
    page.evaluate(f"player.style.cssText = 'width: {SIZE + 2}px'")
    square = pixels(page)
    assert wide.shape[:2] == (SIZE, 2 * SIZE) and square.shape[:2] == (SIZE, SIZE)
    assert np.abs(wide[:, SIZE // 2 : -SIZE // 2] - square).max() < 0.1


# --- hands --------------------------------------------------------------------------------------


def test_dragging_turns_it_and_time_goes_its_own_way(visit, screenshot):
    page = visit()
    still(page)
    before = pixels(page)
    x, y = middle(page)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 30, y + 10, steps=3)
    page.wait_for_timeout(100)  # the hand rests, so nothing swings on
    page.mouse.up()
    turned = camera(page)
    assert turned["azimuth"] > 5 and turned["elevation"] > 2
    after = pixels(page)
    assert np.abs(after - before).mean() > 0.01

    slider = page.locator("ds4d-player input[type=range]")
    slider.focus()
    slider.press("End")
    assert page.evaluate("player.time") == 1
    assert camera(page) == turned
    assert np.abs(pixels(page) - after).mean() > 0.01
    assert slider.get_attribute("aria-valuetext") == "2.0 of 2.0 seconds, frame 5 of 5"
    screenshot(page, "player")


def test_keys(visit):
    page = visit()
    still(page)
    page.locator("ds4d-player canvas").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    assert camera(page)["azimuth"] == 6 and camera(page)["elevation"] == 6
    page.keyboard.press("+")
    assert camera(page)["radius"] < 1.7
    page.keyboard.press(".")
    assert page.evaluate("player.time") == pytest.approx(0.2)
    page.keyboard.press(",")
    page.keyboard.press(",")
    assert page.evaluate("player.time") == 1
    page.keyboard.press("Space")
    assert page.evaluate("player.playing")
    page.keyboard.press("Space")
    assert not page.evaluate("player.playing")
    stage = page.locator("ds4d-player .viewport")
    seen = []
    for _ in range(4):
        seen.append(stage.get_attribute("data-background"))
        page.keyboard.press("b")
    assert seen == ["white", "grey", "black", "checker"]
    for _ in range(40):
        page.keyboard.press("ArrowDown")
    assert camera(page)["elevation"] == -89  # never over the pole


def test_the_input_view_and_the_start_are_a_press_away(visit):
    page = visit(options={"azimuth": 40, "elevation": 15})
    still(page)
    assert camera(page)["azimuth"] == 40
    page.get_by_role("button", name="View from the input camera").click()
    page.wait_for_function(
        "Math.abs(player.camera.azimuth) < 1e-6 && player.camera.elevation === 0"
    )
    pressed = page.get_by_role("button", name="View from the input camera", pressed=True)
    assert pressed.count() == 1
    page.get_by_role("button", name="Back to the start").click()
    page.wait_for_function("player.camera.azimuth === 40 && player.camera.elevation === 15")
    assert pressed.count() == 0


def test_the_input_view_shows_how_the_object_crosses_the_clip(visit, site, ball):
    squares = np.array([[0, 0, 40.0]]).repeat(5, 0)
    squares[:, 0] = np.linspace(0, 120, 5)  # in a frame of four by two squares
    travel = Travel(squares, np.zeros((5, 2)), 160, 80)
    (site.folder / "walk.ds4d").write_bytes(pack(ball, 2.0, travel))
    page = visit(source="walk.ds4d")
    still(page)

    def seen(time: float) -> tuple[float, float, float]:
        page.evaluate("(time) => { player.time = time; }", time)
        alpha = pixels(page)[..., 3]
        rows, columns = np.nonzero(alpha > 0.5)
        return float(columns.mean()) / SIZE, float(rows.mean()) / SIZE, float(alpha.sum())

    still_x, still_y, large = seen(1.0)
    assert abs(seen(0.0)[0] - still_x) < 0.1  # the orbit stays on it
    page.get_by_role("button", name="View from the input camera").click()
    page.wait_for_function("player.viewport.travel === 1")
    (first, height, small), (last, _, _) = seen(0.0), seen(1.0)
    # The frame is as wide as the canvas, and the square a quarter of it.
    assert (first, last) == (pytest.approx(0.125, abs=0.03), pytest.approx(0.875, abs=0.03))
    assert height == pytest.approx(0.375, abs=0.03)
    assert small == pytest.approx(large / 16, rel=0.2)
    page.locator("ds4d-player canvas").press("ArrowRight")
    page.wait_for_function("player.viewport.travel === 0")
    page.evaluate("player.camera = { azimuth: 0 }")
    assert seen(1.0)[0] == pytest.approx(still_x, abs=0.01)


def test_it_turns_by_itself_until_a_hand_is_laid_on_it(visit):
    page = visit()
    still(page)
    page.get_by_role("button", name="Turn by itself").click()
    page.wait_for_function("player.camera.azimuth > 1")
    page.locator("ds4d-player canvas").press("ArrowUp")
    page.get_by_role("button", name="Turn by itself", pressed=False).wait_for()


def test_touch(visit):
    page = visit(width=390, height=844, has_touch=True, is_mobile=True)
    still(page)
    x, y = middle(page)
    touch = page.context.new_cdp_session(page)

    def send(kind: str, *points: tuple[float, float]) -> None:
        touch.send(
            "Input.dispatchTouchEvent",
            {
                "type": kind,
                "touchPoints": [
                    {"x": x + dx, "y": y + dy, "id": n} for n, (dx, dy) in enumerate(points)
                ],
            },
        )

    send("touchStart", (0, 0))
    for step in range(1, 6):
        send("touchMove", (-20 * step, 0))
    page.wait_for_timeout(100)
    send("touchEnd")
    azimuth, radius = camera(page)["azimuth"], camera(page)["radius"]
    assert azimuth > 10
    send("touchStart", (-40, 0), (40, 0))
    for step in range(1, 6):
        send("touchMove", (-40 - 8 * step, 0), (40 + 8 * step, 0))
    send("touchEnd")
    assert camera(page)["radius"] < 0.7 * radius
    assert camera(page)["azimuth"] == pytest.approx(azimuth, abs=1)


def test_the_wheel_scrolls_the_page_until_the_player_has_the_focus(visit):
    page = visit(height=SIZE)  # the controls lie below
    still(page)
    page.mouse.move(*middle(page))
    page.mouse.wheel(0, 50)
    page.wait_for_function("scrollY > 0")
    radius = camera(page)["radius"]
    page.locator("ds4d-player canvas").focus()
    page.mouse.wheel(0, -100)
    page.wait_for_function(f"player.camera.radius < {radius}")


# --- places -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_every_control_without_sideways_scrolling(visit, screenshot, scheme):
    page = visit(width=390, height=844, color_scheme=scheme)
    page.add_style_tag(content=":root { color-scheme: light dark }")
    still(page)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
    for control in page.locator(
        "ds4d-player button, ds4d-player fieldset, ds4d-player output"
    ).all():
        box = control.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    screenshot(page, f"player-phone-{scheme}")


def test_a_page_that_is_dark_by_a_class_gets_a_dark_player(visit):
    page = visit()
    still(page)
    assert page.locator("ds4d-player .viewport").get_attribute("data-background") == "white"
    page.evaluate("document.body.className = 'dark'; player.open()")
    still(page)
    assert page.locator("ds4d-player .viewport").get_attribute("data-background") == "black"


def test_full_screen(visit):
    page = visit(width=500, height=400)
    still(page)
    page.get_by_role("button", name="Full screen").click()
    page.get_by_role("button", name="Full screen", pressed=True).wait_for()
    page.wait_for_function("player.shadowRoot.querySelector('canvas').clientHeight < innerHeight")
    assert page.get_by_role("button", name="Play").bounding_box()["y"] < page.evaluate(
        "innerHeight"
    )
    drawn = pixels(page)
    assert drawn.shape[1] > drawn.shape[0] and drawn[..., 3].max() > 0.9
    page.get_by_role("button", name="Full screen").click()
    page.get_by_role("button", name="Full screen", pressed=False).wait_for()


def test_every_control_has_a_name(visit):
    page = visit()
    still(page)
    names = page.evaluate(
        "[...player.shadowRoot.querySelectorAll('button, input, canvas')]"
        ".map((control) => control.getAttribute('aria-label'))"
    )
    assert len(names) == 11 and all(names)


def test_it_plays_by_itself_unless_the_visitor_prefers_rest(visit):
    page = visit()
    arrived(page, "loaded")
    page.wait_for_function("player.time > 0")
    page = visit(reduced_motion="reduce", options={"rotate": True})
    arrived(page, "loaded")
    page.wait_for_timeout(300)
    assert page.evaluate("player.time") == 0 and camera(page)["azimuth"] == 0


# --- files --------------------------------------------------------------------------------------


def test_the_first_frame_is_shown_while_the_rest_is_on_its_way(visit, site, packed):
    (site.folder / "slow.ds4d").write_bytes(packed)
    page = visit(source="slow.ds4d")
    arrived(page, "ready")
    assert 1 <= page.evaluate("player.facts.frames") < 5
    assert pixels(page)[..., 3].max() > 0.9
    site.gate.set()
    arrived(page, "loaded")
    assert page.evaluate("player.facts.frames") == 5


def test_a_new_address_shows_the_new_object(visit, site):
    page = visit()
    still(page)
    before = pixels(page)
    (site.folder / "dark.ds4d").write_bytes(pack(Ball(count=60, hue=0.9), seconds=1.0))
    page.evaluate("player.setAttribute('src', 'dark.ds4d')")
    still(page)
    assert page.evaluate("player.facts.gaussians") == 60
    assert np.abs(pixels(page) - before).mean() > 0.02


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_a_damaged_file_is_told_in_a_sentence(visit, site, packed, damage):
    broken = packed[:-40] if damage == "cut" else b"PK\3\4" + packed
    (site.folder / "broken.ds4d").write_bytes(broken)
    page = visit(source="broken.ds4d")
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert {"cut": "cut off", "other": "not a packed 4D file"}[damage] in alert.inner_text()


def test_one_file_plays_from_the_disk_without_any_request(visit, packed, tmp_path, screenshot):
    path = tmp_path / "player.html"
    viewer.write_html(path, packed, "A <ball>")
    page = visit(width=700, height=600)
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    still(page)
    assert pixels(page)[..., 3].max() > 0.9
    assert page.title() == "A <ball>"
    assert page.evaluate("document.scrollingElement.scrollHeight") <= 600
    assert [url for url in requests if not url.startswith("blob:")] == [path.as_uri()]
    screenshot(page, "player-file")


# --- where it cannot draw -----------------------------------------------------------------------


def test_without_webgl2_the_turntable_video_is_shown(visit, screenshot):
    page = visit(before=NO_WEBGL, options={"fallback": "data:video/mp4;base64,", "label": "Ball"})
    video = page.locator("ds4d-player video")
    video.wait_for(state="attached")
    assert video.get_attribute("src") == "data:video/mp4;base64,"
    assert "WebGL2" in page.get_by_role("alert").inner_text()
    assert not page.locator("ds4d-player canvas").is_visible()
    screenshot(page, "player-without-webgl2")


def test_a_lost_context_that_comes_back_shows_the_same_picture(visit):
    page = visit()
    still(page)
    before = pixels(page)
    page.evaluate(
        """async () => {
          const canvas = player.shadowRoot.querySelector("canvas");
          const lose = canvas.getContext("webgl2").getExtension("WEBGL_lose_context");
          const back = new Promise((now) => canvas.addEventListener("webglcontextrestored", now));
          canvas.addEventListener("webglcontextlost", () =>
            setTimeout(() => lose.restoreContext(), 50));
          lose.loseContext();
          await back;
        }"""
    )
    assert np.array_equal(pixels(page), before)


def test_a_context_that_is_lost_for_good_leaves_the_video(visit):
    page = visit(options={"fallback": "data:video/mp4;base64,"})
    still(page)
    page.evaluate(
        "player.shadowRoot.querySelector('canvas').getContext('webgl2')"
        ".getExtension('WEBGL_lose_context').loseContext()"
    )
    page.get_by_role("alert").wait_for()
    assert page.locator("ds4d-player video").get_attribute("src")
