"use strict";

/* One stem: its row of the page, waveform, spectrogram and channel of the mixer. */
class Lane {
  constructor(data, track, index) {
    this.data = data;
    this.row = find("#lane").content.firstElementChild.cloneNode(true);
    this.name = data.title === data.source ? data.title : `${data.title}: ${data.source}`;
    this.row.setAttribute("aria-label", this.name);
    if (data.system !== null) this.row.style.setProperty("--lane", shadeOf(data.system));
    find(".name", this.row).textContent = data.title;
    find(".key", this.row).textContent = index < 9 ? index + 1 : "";
    this.soloButton = find(".solo", this.row);
    this.muteButton = find(".mute", this.row);
    this.soloButton.setAttribute("aria-label", `Solo ${this.name}`);
    this.muteButton.setAttribute("aria-label", `Mute ${this.name}`);
    this.soloButton.addEventListener("click", () => track.solo(this));
    this.muteButton.addEventListener("click", () => track.mute(this));
    this.score = find(".score", this.row);
    const picture = find(".spectrogram", this.row);
    picture.style.backgroundImage = `url("${data.spectrogram}")`;
    for (const [label, height] of track.data.marks) {
      const mark = find(".marks", this.row).appendChild(document.createElement("span"));
      mark.textContent = label;
      mark.style.bottom = `${100 * height}%`;
    }
    const common = {
      media: track.media,
      duration: track.data.duration,
      cursorWidth: 2,
      dragToSeek: true,
      hideScrollbar: true,
    };
    this.waveform = WaveSurfer.create({
      ...common,
      container: find(".waveform", this.row),
      height: 56,
      peaks: data.peaks,
      plugins: [track.hover()],
    });
    this.picture = WaveSurfer.create({
      ...common,
      container: picture,
      height: 72,
      peaks: [[0], [0]],
      waveColor: "transparent",
      progressColor: "transparent",
      cursorColor: "#fff",
      plugins: [track.hover()],
    });
    this.paint();
  }

  paint() {
    const shade = shadeOf(this.data.system);
    this.waveform.setOptions({
      waveColor: `color-mix(in srgb, ${shade} 55%, ${colour("--surface")})`,
      progressColor: shade,
      cursorColor: colour("--text"),
    });
  }

  get soloed() {
    return this.soloButton.getAttribute("aria-pressed") === "true";
  }

  set soloed(on) {
    this.soloButton.setAttribute("aria-pressed", on);
    if (this.channel) this.channel.solo = on;
  }

  get muted() {
    return this.muteButton.getAttribute("aria-pressed") === "true";
  }

  set muted(on) {
    this.muteButton.setAttribute("aria-pressed", on);
    if (this.channel) this.channel.mute = on;
  }

  async decode() {
    const content = await fetch(`data:;base64,${this.data.audio}`);
    const bytes = await content.arrayBuffer();
    delete this.data.audio;
    const buffer = await Tone.getContext().decodeAudioData(bytes);
    if (this.disposed) return; // another track has been chosen meanwhile
    this.channel = new Tone.Channel({ mute: this.muted, solo: this.soloed }).toDestination();
    this.player = new Tone.Player(buffer).sync().start(0).connect(this.channel);
  }

  dispose() {
    this.disposed = true;
    this.waveform.destroy();
    this.picture.destroy();
    this.player?.dispose();
    this.channel?.dispose();
  }
}
