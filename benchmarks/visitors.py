"""Virtual visitors of the page, for benchmarks.load: programs, gradio_clients and browsers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np

CLIP = Path("examples/clips/frog.mp4").resolve()
THOUGHT = 10.0  # seconds between two deeds of a visitor, at most; at random
WATCHED = 8.0  # seconds for which a browser watches its run
PATIENCE = 120.0  # seconds for an answer
DEEDS = (
    "page", "page", "preflight", "leave", "order", "status", "status", "status", "cancel", "cancel"
)  # fmt: skip
FIRST = "first answer to a clip"
JOB = re.compile(r'"job": ?"([^"]+)"')  # in the first message about a run
BROKEN = ("Something went wrong", "Traceback", "verbose error reporting")  # no sentence of ours
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]  # without a GPU


class Log:
    """The kinds of requests, their seconds, and how each of them ended."""

    def __init__(self, rows: list[tuple[str, float, str]] | None = None):
        self.rows = rows or []

    def note(self, what: str, started: float, end: str = "answered") -> None:
        self.rows.append((what, time.perf_counter() - started, end))

    def summary(self) -> dict:
        """By kind: requests, quantiles of the seconds until an answer, refusals and failures."""
        found = {}
        for what in sorted({row[0] for row in self.rows}):
            rows = [row for row in self.rows if row[0] == what]
            ends = Counter(end.partition(":")[0] for _, _, end in rows)
            seconds = [taken for _, taken, end in rows if not end.startswith("failed")]
            quantiles = {
                f"p{q}_s": round(float(np.percentile(seconds, q)), 3) for q in (50, 95, 99)
            } if seconds else {}  # fmt: skip
            found[what] = {"requests": len(rows), **quantiles, **ends}
        return found

    def told(self, kind: str) -> dict[str, int]:
        """The sentences of refusals, or the words of failures, the most frequent first."""
        told = (end.partition(": ")[2] for _, _, end in self.rows if end.startswith(kind))
        return dict(Counter(told).most_common(20))


def judged(text: str | None) -> str:
    """The end of a request without a result: refused if it was told why in a sentence."""
    text = (text or "").strip()
    fine = text.endswith(".") and not any(words in text for words in BROKEN)
    return f"{'refused' if fine else 'failed'}: {text[:200]}"


def address(number: int) -> dict[str, str]:
    """The header by which a proxy tells visitors apart."""
    return {"X-Forwarded-For": f"10.{number // 256}.{number % 256}.1"}


class Program:
    """A visitor that speaks HTTP."""

    def __init__(self, url: str, number: int, log: Log):
        self.http = httpx.AsyncClient(base_url=url, headers=address(number), timeout=PATIENCE)
        self.log = log

    async def ask(self, what: str, method: str, path: str, **options) -> httpx.Response | None:
        """The answer to a request; None where there is none, or it is an error."""
        started = time.perf_counter()
        try:
            answer = await self.http.request(method, path, **options)
        except httpx.HTTPError as error:
            return self.log.note(what, started, f"failed: {type(error).__name__}")
        if answer.status_code >= 400:
            return self.log.note(what, started, judged(_detail(answer)))
        broken = any(words in answer.text for words in BROKEN)
        self.log.note(what, started, "failed: a broken page" if broken else "answered")
        return None if broken else answer

    async def upload(self, file: Path) -> dict | None:
        files = {"files": (file.name, file.read_bytes())}
        answer = await self.ask("upload", "POST", "/gradio_api/upload", files=files)
        if answer is None:
            return None
        return {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}

    async def call(
        self, what: str, name: str, *data, wait: bool = True, first: bool = False
    ) -> str:
        """Call an endpoint; the last message of its answer, or the first, or none."""
        started = time.perf_counter()
        message, end = "", "failed: no answer"
        try:
            path = f"/gradio_api/call/{name}"
            answer = await self.http.post(path, json={"data": list(data)})
            if answer.status_code >= 400:
                end = judged(_detail(answer))
            elif not wait:
                end = "answered"
            else:
                path += f"/{answer.json()['event_id']}"
                async with self.http.stream("GET", path) as stream:
                    async for event, message in _messages(stream):
                        end = "answered" if event != "error" else judged(_error(message))
                        if first:
                            break
        except httpx.HTTPError as error:
            end = f"failed: {type(error).__name__}"
        self.log.note(what, started, end)
        return message if end == "answered" else ""

    async def live(self, end: float, seed: int, parameters: int) -> None:
        """Do something else every time until the end; all runs are cancelled then.

        Args:
            parameters: of the endpoint that orders a run.
        """
        dice, jobs = random.Random(seed), []
        while time.perf_counter() < end:
            deed = dice.choice(DEEDS)
            if deed == "page":
                await self.ask("page", "GET", f"/?job={dice.choice(jobs)}" if jobs else "/")
            elif deed == "status":
                await self.call("status", "status", dice.choice(jobs) if jobs else "nobody-has-it")
            elif deed == "cancel" and jobs:
                await self.call("cancel", "cancel", jobs.pop())
            elif deed in ("preflight", "leave", "order"):
                clip = await self.upload(CLIP)
                if clip is None:
                    continue
                if deed == "order":
                    data = (clip, "preview", 0, *[None] * (parameters - 3))
                    found = JOB.search(await self.call(FIRST, "generate", *data, first=True))
                    jobs += [found[1]] if found else []
                else:
                    data = (clip, "preview", None, None)
                    await self.call(deed, "preflight", *data, wait=deed == "preflight")
            await asyncio.sleep(dice.uniform(0.0, THOUGHT))
        for job in jobs:
            await self.call("cancel", "cancel", job)
        await self.http.aclose()


async def _messages(stream: httpx.Response):
    """Events of a stream and their data, but not those that only keep it open."""
    event = ""
    async for line in stream.aiter_lines():
        if line.startswith("event: "):
            event = line.removeprefix("event: ")
        elif line.startswith("data: ") and event != "heartbeat":
            yield event, line.removeprefix("data: ")


def _error(message: str) -> str:
    data = json.loads(message)
    return str(data.get("error")) if isinstance(data, dict) else str(data)


def _detail(answer: httpx.Response) -> str:
    with contextlib.suppress(ValueError, AttributeError):
        return str(answer.json().get("detail"))
    return answer.text


def gradio_clients(url: str, numbers: range, seconds: float) -> list[tuple[str, float, str]]:
    """Visitors with a gradio_client each, on threads; for a process of its own.

    Returns:
        The rows of their log.
    """
    log, end = Log(), time.perf_counter() + seconds
    with ThreadPoolExecutor(len(numbers)) as pool:
        list(pool.map(lambda number: _use_client(url, number, end, log), numbers))
    return log.rows


def _use_client(url: str, number: int, end: float, log: Log) -> None:
    from gradio_client import Client, handle_file

    dice, jobs = random.Random(number), []
    patience = {"timeout": PATIENCE}
    client = None
    while client is None and time.perf_counter() < end:
        with _noted(log, "gradio_client: connect"):
            client = Client(url, verbose=False, headers=address(number), httpx_kwargs=patience)
    while time.perf_counter() < end:
        deed = dice.choice(DEEDS)
        if deed == "status":
            with _noted(log, "gradio_client: status"):
                job = dice.choice(jobs) if jobs else "nobody-has-it"
                client.predict(job, api_name="/status")
        elif deed == "cancel" and jobs:
            with _noted(log, "gradio_client: cancel"):
                client.predict(jobs.pop(), api_name="/cancel")
        elif deed == "preflight":
            with _noted(log, "gradio_client: preflight"):
                client.predict(clip=handle_file(CLIP), api_name="/preflight")
        elif deed == "order":
            with _noted(log, f"gradio_client: {FIRST}"):
                told = client.submit(clip=handle_file(CLIP), api_name="/generate")
                while not told.outputs() and not told.done():
                    time.sleep(0.05)
                jobs.append(told.outputs()[0]["job"] if told.outputs() else told.result()["job"])
                told.cancel()
        time.sleep(dice.uniform(0.0, THOUGHT))
    for job in jobs:
        with _noted(log, "gradio_client: cancel"):
            client.predict(job, api_name="/cancel")


@contextlib.contextmanager
def _noted(log: Log, what: str) -> Iterator[None]:
    """Note how a call of a gradio_client ended."""
    from gradio_client.exceptions import AppError

    started = time.perf_counter()
    try:
        yield
        log.note(what, started)
    except AppError as error:
        log.note(what, started, judged(error.message))
    except Exception as error:
        log.note(what, started, f"failed: {type(error).__name__}: {error}"[:200])


async def browse(url: str, numbers: range, seconds: float, log: Log) -> None:
    """Visitors with a browser each: they upload, order, watch, reload and cancel."""
    from playwright.async_api import async_playwright

    program = shutil.which("chromium") or shutil.which("google-chrome")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=FLAGS)
        end = time.perf_counter() + seconds
        await asyncio.gather(*(_use_browser(url, browser, number, end, log) for number in numbers))
        await browser.close()


async def _use_browser(url: str, browser, number: int, end: float, log: Log) -> None:
    from playwright.async_api import Error

    context = await browser.new_context(extra_http_headers=address(number))
    page = await context.new_page()
    page.set_default_timeout(PATIENCE * 1000)
    page.on("pageerror", lambda error: log.note("browser", end, f"failed: {error}"[:200]))

    async def wait(what: str, doing, selector: str) -> bool:
        """Do something and wait for what it shows; False if that is a refusal."""
        started = time.perf_counter()
        try:
            await doing
            await page.wait_for_selector(f"{selector}, #notice .is-error")
            notice = page.locator("#notice .is-error")
            refused = judged(await notice.inner_text()) if await notice.count() else "answered"
            log.note(f"browser: {what}", started, refused)
            return refused == "answered"
        except Error as error:
            log.note(f"browser: {what}", started, f"failed: {error.message}"[:200])
            return False

    at_work = ".card:not([data-state='waiting']), #notice:has-text('in the queue')"
    while time.perf_counter() < end:
        await wait("page", page.goto(url), "#strip li.card")
        clip = page.set_input_files("#clip input[type=file]", CLIP)
        if not await wait("upload", clip, "#run:enabled"):
            continue
        if not await wait(FIRST, page.click("#run"), at_work):
            await asyncio.sleep(THOUGHT / 2)
            continue
        await asyncio.sleep(WATCHED)
        if await wait("reload", page.reload(), at_work):
            await wait("cancel", page.click("#cancel"), "#notice:has-text('Cancelled')")
        await asyncio.sleep(THOUGHT / 5)
    await context.close()
