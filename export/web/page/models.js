import { isAbort, notify, say } from "./notices.js";

/** @typedef {import("../engine/protocol.js").MenuModel} MenuModel */
/** @typedef {import("../engine/protocol.js").ModelInfo} ModelInfo */
/** @typedef {import("../engine/protocol.js").EngineInfo} EngineInfo */
/** @typedef {{name: string, title: string, about: string, model: string | Blob}} Choice */

/** The menu of models: those of the site, and files that someone opens. */
export class Models extends EventTarget {
  /** @param {import("../engine/protocol.js").Separator} separator */
  constructor(separator) {
    super();
    this.separator = separator;
    /** @type {Choice[]} */
    this.choices = [];
    /** @type {Choice | null} */
    this.loaded = null;
    /** @type {ModelInfo | null} */
    this.info = null;
    /** What is said of the model that is loaded. */
    this.told = "No model is loaded.";
    this.select = find("#model");
    this.select.addEventListener("change", () => this.#load(this.choices[this.select.value]));
    find("#open-model").addEventListener("click", () => find("#model-file").click());
    find("#model-file").addEventListener("change", (/** @type {Event} */ event) => {
      const input = /** @type {HTMLInputElement} */ (event.target);
      if (input.files?.length) this.open(input.files[0]);
      input.value = "";
    });
  }

  /** Fetches the list of the site's models. */
  async list() {
    try {
      const answer = await fetch("models.json");
      if (!answer.ok) throw new Error(`the site's models.json is missing (${answer.status})`);
      const { models } = /** @type {{models: MenuModel[]}} */ (await answer.json());
      this.choices = models.map((model) => ({
        name: model.name,
        title: `${model.name} (${model.quantization}, ${megabytes(model.bytes)})`,
        about: model.description,
        model: model.file,
      }));
    } catch (error) {
      notify(error);
    }
  }

  async loadFirst() {
    if (this.choices.length) await this.#load(this.choices[0]);
    else this.#menu();
  }

  /**
   * Opens a file of one's own, which stays in the menu if it is a model.
   *
   * @param {File} file
   */
  open(file) {
    const title = `${file.name} (${megabytes(file.size)})`;
    return this.#load({ name: file.name, title, about: "A file of yours.", model: file });
  }

  /** @param {Choice} choice */
  async #load(choice) {
    this.select.disabled = true;
    this.select.setAttribute("aria-busy", "true");
    find("#engine").textContent = `Loading ${choice.name}…`;
    try {
      const { model, engine } = await this.separator.load(choice.model, choice.name);
      if (!this.choices.includes(choice)) this.choices.push(choice);
      this.loaded = choice;
      this.info = model;
      this.#describe(choice, model, engine);
      say(`Model ${choice.name} is ready.`);
      this.dispatchEvent(new Event("load"));
    } catch (error) {
      if (!isAbort(error)) notify(error);
      find("#engine").textContent = this.told;
    }
    this.#menu();
  }

  #menu() {
    const options = this.choices.map((choice, place) => {
      const chosen = choice === this.loaded;
      return new Option(choice.title, String(place), chosen, chosen);
    });
    if (!this.loaded) options.unshift(new Option("none", "", true, true));
    this.select.replaceChildren(...options);
    this.select.disabled = this.choices.length === 0;
    this.select.removeAttribute("aria-busy");
  }

  /**
   * @param {Choice} choice
   * @param {ModelInfo} model
   * @param {EngineInfo} engine
   */
  #describe(choice, model, engine) {
    const channels = model.channels === 1 ? "mono" : "stereo";
    const rate = `${model.sampleRateHz / 1000}\u00a0kHz ${channels}`;
    const threads = engine.threads === 1 ? "one thread" : `${engine.threads} threads`;
    const where = engine.accelerator === "webgpu" ? "the GPU" : `the CPU, ${threads}`;
    const slower = engine.relaxedSimd || engine.accelerator === "webgpu" ? "" : " (compatible build)";
    find("#about").textContent = choice.about;
    this.told =
      `Gives ${model.sources.join(", ")} at ${rate}; runs on ${where}${slower}.`;
    find("#engine").textContent = this.told;
  }
}

/** @param {number} bytes */
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
