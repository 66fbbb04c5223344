"use strict";

/* The chart of one source's SDR over time: one line a system, with a step a frame. */
class Chart {
  constructor(data, track, container, lanes) {
    this.data = data;
    this.container = container;
    this.lanes = lanes; // of its group, which show the score under the cursor
    // Each frame has two points, so that the line between them is level. The null after
    // the last frame ends the line.
    const tables = data.series.map(({ times, sdr, length }) => [
      [...times.flatMap((time) => [time, time + length - 1e-3]), times.at(-1) + length],
      [...sdr.flatMap((value) => [value, value]), null],
    ]);
    const end = track.start + track.duration;
    const axis = {
      stroke: () => colour("--muted"),
      grid: { stroke: () => colour("--line"), width: 1 },
      ticks: { show: false },
    };
    const levels = (_, ticks) => ticks.map((tick) => `${tick} dB`.replace("-", "−"));
    const series = data.series.map(({ system }) => ({
      label: systems[system].name,
      stroke: () => shadeOf(system),
      width: 2,
      points: { show: false },
      value: (_, value) => decibels(value),
    }));
    this.plot = new uPlot(
      {
        width: this.width,
        height: 130,
        padding: [8, 0, 0, 0],
        scales: {
          x: { time: false, range: [track.start, end] },
          y: { range: [data.low, data.high] },
        },
        axes: [
          { ...axis, size: 24, values: (_, ticks) => ticks.map(tickClock) },
          { ...axis, size: 44, values: levels, space: 26 },
        ],
        series: [{}, ...series],
        cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
        legend: { markers: { fill: (plot, place) => plot.series[place].stroke() } },
      },
      uPlot.join(tables),
      container,
    );
    this.plot.over.addEventListener("click", (event) => {
      player.mixer.currentTime = this.plot.posToVal(event.offsetX, "x") - track.start;
    });
    this.plot.over.addEventListener("mouseleave", () => player.follow());
  }

  get width() {
    return this.container.clientWidth;
  }

  /* Returns a system's score at a time of the track; undefined without any score. */
  at(system, time) {
    const series = this.data.series.find((each) => each.system === system);
    if (!series) return undefined;
    const frame = series.times.findLastIndex((start) => start <= time + 1e-6);
    return frame >= 0 && time < series.times[frame] + series.length ? series.sdr[frame] : null;
  }

  follow(time) {
    this.plot.setCursor({ left: this.plot.valToPos(time, "x"), top: 1 });
    for (const lane of this.lanes) {
      if (lane.data.system === null) continue;
      const score = this.at(lane.data.system, time);
      lane.score.textContent = score === undefined ? "" : `SDR ${decibels(score)}`;
    }
  }

  resize() {
    this.plot.setSize({ width: this.width, height: 130 });
    player.follow();
  }
}
