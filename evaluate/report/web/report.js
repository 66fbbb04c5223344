/* What a report adds to the player: the choice of a track, spectrograms, and charts of the
   SDR. A track is a script that calls showTrack. */
"use strict";

const RATE_HZ = 48000; // Opus has no other; a browser resamples FLAC to it

const systems = JSON.parse(find("#systems").textContent);
const shadeOf = (system) => (system === null ? colour("--true") : systems[system].colour);
const decibels = (value) =>
  value == null ? "no score" : `${value.toFixed(2).replace("-", "−")} dB`;
const player = new Player(find("#player"));
let charts = []; // of the groups of the track that is shown
let shown = null; // its data

function tell(text) {
  find("#status").textContent = text;
}

/* A lane's audio, decoded when its track is shown. */
class DecodedSource {
  constructor(audio) {
    this.planes = this.decode(audio);
    this.planes.catch(() => {}); // told where all lanes are awaited
  }

  async decode(audio) {
    const content = await fetch(`data:;base64,${audio}`);
    const context = new OfflineAudioContext(1, 1, RATE_HZ);
    const buffer = await context.decodeAudioData(await content.arrayBuffer()).catch((error) => {
      throw new Error(`This browser cannot decode the audio: ${error.message}`);
    });
    return Array.from({ length: buffer.numberOfChannels }, (_, channel) =>
      buffer.getChannelData(channel),
    );
  }

  async read(start, frames) {
    return (await this.planes).map((plane) => plane.subarray(start, start + frames));
  }
}

/* Shows a track; its script calls this. */
async function showTrack(data) {
  for (const chart of charts) chart.plot.destroy();
  const lanes = data.groups.flatMap((group) =>
    group.lanes.map((lane) => ({
      title: lane.title,
      label: lane.title === group.title ? lane.title : `${lane.title}: ${group.title}`,
      group: group.title,
      shade: lane.system === null ? undefined : shadeOf(lane.system),
      peaks: lane.peaks[0].flatMap((high, place) => [lane.peaks[1][place], high]),
      source: new DecodedSource(lane.audio),
      system: lane.system,
      spectrogram: lane.spectrogram,
    })),
  );
  shown = data;
  charts = [];
  const { start, duration } = data;
  player.show({ rate: RATE_HZ, start, duration, lanes });
  for (const lane of player.lanes) addSpectrogram(lane, data.marks);
  addCharts(data);
  player.lanes[0].dispatchEvent(new Event("solo"));
  player.follow();

  await decoded(data, lanes);
}

/* Tells how decoding goes, unless another track has been chosen meanwhile. */
async function decoded(data, lanes) {
  tell("Decoding…");
  let text = "";
  try {
    await Promise.all(lanes.map((lane) => lane.source.planes));
  } catch (error) {
    text = error.message;
  }
  if (shown === data) tell(text);
}

function addSpectrogram(lane, marks) {
  const picture = fromHtml(
    '<div class="shown" aria-hidden="true"><div class="marks"></div><div class="spectrogram"></div></div>',
  );
  const area = find(".spectrogram", picture);
  area.style.backgroundImage = `url("${lane.data.spectrogram}")`;
  for (const [label, height] of marks) {
    const mark = find(".marks", picture).appendChild(document.createElement("span"));
    mark.textContent = label;
    mark.style.bottom = `${100 * height}%`;
  }
  lane.pictures.append(picture);
  new TimeArea(area, player.time);
}

function addCharts(data) {
  for (const group of data.groups) {
    if (!group.chart) continue;
    const lanes = player.lanes.filter((lane) => lane.data.group === group.title);
    const section = lanes[0].row.parentElement;
    const box = section.appendChild(
      fromHtml('<div class="chart"><h4>SDR over time</h4><div class="plot"></div></div>'),
    );
    charts.push(new Chart(group.chart, data, find(".plot", box), lanes));
  }
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

/* Does what the options say; after a reload some browsers keep what was chosen. */
function choose() {
  player.oneSolo = find("#one").checked;
  player.loop = find("#loop").checked;
  player.root.dataset.view = find("[name=view]:checked").value;
}

player.controls.append(find("#options"));
player.controls.after(find("#keys"));
player.addEventListener("fail", (event) => tell(event.detail.message));
player.addEventListener("follow", (event) => charts.forEach((chart) => chart.follow(event.detail)));
find("#track").addEventListener("change", (event) => load(event.target.value));
for (const choice of document.querySelectorAll("#options input")) {
  choice.addEventListener("change", choose);
}
choose();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
  charts.forEach((chart) => chart.plot.redraw(false, true)),
);
new ResizeObserver(() => charts.forEach((chart) => chart.resize())).observe(player.list);
load(find("#track").value);
