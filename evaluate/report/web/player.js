/* The player of one track at a time: Tone.js plays, wavesurfer.js draws waveforms, uPlot
   draws the SDR. A track is a script that calls showTrack. */
"use strict";

let shown = null;

/* One track: its lanes and charts, which follow one clock. */
class Track {
  lanes = [];
  charts = [];

  constructor(data) {
    this.data = data;
    this.media = new TransportMedia(data.duration);
    const container = find("#lanes");
    container.replaceChildren();
    for (const group of data.groups) {
      const section = container.appendChild(find("#group").content.firstElementChild.cloneNode(true));
      find("h3", section).textContent = group.title;
      let chart = null;
      if (group.chart) {
        find(".chart", section).hidden = false;
        chart = new Chart(group.chart, this, find(".plot", section));
        this.charts.push(chart);
      }
      for (const lane of group.lanes) {
        const made = new Lane({ ...lane, source: group.title }, this, this.lanes.length);
        made.chart = chart;
        find(".stems", section).append(made.row);
        this.lanes.push(made);
      }
    }
    this.timeline();
    this.lanes[0].soloed = true;
    this.mixed();
    this.media.currentTime = 0;
    this.follow();
  }

  hover() {
    return WaveSurfer.Hover.create({
      lineColor: colour("--text"),
      labelBackground: colour("--text"),
      labelColor: colour("--surface"),
      formatTimeCallback: (seconds) => clock(seconds + this.data.start),
    });
  }

  timeline() {
    const steps = [1, 2, 5, 10, 15, 30];
    const step = steps.find((each) => this.data.duration / each <= 10) ?? 60;
    this.lanes[0].waveform.registerPlugin(
      WaveSurfer.Timeline.create({
        container: find("#timeline"),
        height: 18,
        timeInterval: step,
        primaryLabelInterval: step,
        formatTimeCallback: (seconds) => tickClock(seconds + this.data.start),
      }),
    );
  }

  solo(lane) {
    const on = !lane.soloed;
    if (on && find("#one").checked) this.lanes.forEach((other) => (other.soloed = false));
    lane.soloed = on;
    this.mixed();
  }

  mute(lane) {
    lane.muted = !lane.muted;
    this.mixed();
  }

  /* Shows which lanes can be heard. */
  mixed() {
    const solos = this.lanes.some((lane) => lane.soloed);
    for (const lane of this.lanes) {
      lane.row.classList.toggle("silent", lane.muted || (solos && !lane.soloed));
    }
  }

  /* Decodes all stems, and returns whether they can be played. */
  async decode() {
    tell("Decoding…");
    try {
      await Promise.all(this.lanes.map((lane) => lane.decode()));
    } catch (error) {
      tell(`This browser cannot decode the audio: ${error.message}`);
      return false;
    }
    if (shown === this) tell("");
    return true;
  }

  async toggle() {
    if (!this.media.paused) return this.media.pause();
    await Tone.start();
    const ready = await this.decoded;
    if (ready && shown === this && this.media.paused) this.media.play();
  }

  /* Moves all but the wavesurfers, which follow by themselves, to the current time. */
  follow() {
    const { currentTime, duration, paused } = this.media;
    const time = currentTime + this.data.start;
    const seek = find("#seek");
    seek.max = duration;
    seek.value = currentTime;
    seek.setAttribute("aria-valuetext", clock(time));
    find("#time").textContent = `${clock(time)} / ${clock(this.data.start + duration)}`;
    find("#play").setAttribute("aria-label", paused ? "Play" : "Pause");
    find("#play").classList.toggle("playing", !paused);
    for (const chart of this.charts) chart.follow(time);
    for (const lane of this.lanes) {
      if (lane.data.system === null || !lane.chart) continue;
      const score = lane.chart.at(lane.data.system, time);
      lane.score.textContent = score === undefined ? "" : `SDR ${decibels(score)}`;
    }
  }

  paint() {
    for (const lane of this.lanes) lane.paint();
    for (const chart of this.charts) chart.plot.redraw(false, true);
  }

  resize() {
    for (const chart of this.charts) chart.plot.setSize({ width: chart.width, height: 130 });
    this.follow();
  }

  dispose() {
    transport.pause();
    for (const lane of this.lanes) lane.dispose();
    for (const chart of this.charts) chart.plot.destroy();
    find("#timeline").replaceChildren();
  }
}

function tell(text) {
  find("#status").textContent = text;
}

/* Shows a track; its script calls this. */
function showTrack(data) {
  shown?.dispose();
  shown = new Track(data);
  shown.decoded = shown.decode();
  shown.media.addEventListener("timeupdate", () => shown.follow());
  shown.media.addEventListener("play", () => shown.follow());
}

function load(number) {
  tell("Loading…");
  const script = document.createElement("script");
  script.src = `tracks/${number}.js`;
  script.async = false; // tracks come in the order in which they were chosen
  script.addEventListener("error", () => tell(`tracks/${number}.js is missing`));
  script.addEventListener("load", () => script.remove());
  document.head.append(script);
}

function tick() {
  if (shown && !shown.media.paused) {
    if (!transport.loop && shown.media.currentTime >= shown.media.duration) {
      shown.media.pause();
      shown.media.currentTime = 0;
    }
    shown.follow();
  }
  requestAnimationFrame(tick);
}

function pressed(event) {
  if (!shown || event.ctrlKey || event.altKey || event.metaKey) return;
  const seeks = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
  const kind = event.target.closest?.("button, select, summary, a, input, textarea");
  if (event.key === " " && !kind?.matches("button, select, summary, a, [type=checkbox], [type=radio]")) {
    shown.toggle();
  } else if (event.key in seeks && !kind?.matches("select, [type=radio]")) {
    shown.media.currentTime += (event.shiftKey ? 5 : 1) * seeks[event.key];
  } else if (/^[1-9]$/.test(event.key) && shown.lanes[event.key - 1] && !kind?.matches("select")) {
    shown.solo(shown.lanes[event.key - 1]);
  } else {
    return;
  }
  event.preventDefault();
}

find("#track").addEventListener("change", (event) => load(event.target.value));
find("#play").addEventListener("click", () => shown?.toggle());
find("#seek").addEventListener("input", (event) => {
  shown.media.currentTime = Number(event.target.value);
});
find("#loop").addEventListener("change", (event) => (transport.loop = event.target.checked));
for (const choice of document.querySelectorAll("[name=view]")) {
  choice.addEventListener("change", () => (find("#lanes").dataset.view = choice.value));
}
document.addEventListener("keydown", pressed);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => shown?.paint());
new ResizeObserver(() => shown?.resize()).observe(find("#lanes"));
requestAnimationFrame(tick);
load(find("#track").value);
