import { goOffline } from "../engine/offline.js";
import { Separator } from "../engine/protocol.js";

const input = /** @type {HTMLInputElement} */ (document.getElementById("song"));
const state = /** @type {HTMLElement} */ (document.getElementById("state"));
const stems = /** @type {HTMLElement} */ (document.getElementById("stems"));
const separator = new Separator();

/** @param {unknown} error */
function tell(error) {
  state.textContent = error instanceof Error ? error.message : String(error);
}

async function start() {
  await goOffline();
  const menu = await (await fetch("models.json")).json();
  await separator.load(menu.models[0].file, menu.models[0].name);
  input.disabled = false;
  state.textContent = "Ready.";
}

async function separate() {
  const file = input.files?.[0];
  if (!file) return;
  const onProgress = (/** @type {{stage: string, done: number}} */ { stage, done }) => {
    state.textContent = `${stage}: ${Math.round(100 * done)} %`;
  };
  const song = await separator.separate(file, { onProgress });
  const players = [];
  for (const { name } of song.lanes) {
    const player = document.createElement("audio");
    player.controls = true;
    player.src = URL.createObjectURL(await separator.encode(song.id, name, "wav16"));
    const label = document.createElement("p");
    label.append(name, player);
    players.push(label);
  }
  stems.replaceChildren(...players);
  state.textContent = `Separated in ${song.seconds.toFixed(1)} s.`;
}

input.addEventListener("change", () => separate().catch(tell));
start().catch(tell);
