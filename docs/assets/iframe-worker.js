/* A page that is opened as a file may start no worker. There, the search runs in a hidden frame instead. */
if (location.protocol === "file:") {
  window.Worker = class {
    constructor(address) {
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.documentElement.append(this.frame);
      this.inside = this.frame.contentWindow;
      // Messages are copied and come later, as a worker's do.
      this.inside.postMessage = (data) => setTimeout(() => this.onmessage?.({ data: structuredClone(data) }));
      const script = this.inside.document.createElement("script");
      this.loaded = new Promise((resolve) => (script.onload = resolve));
      script.onerror = (error) => this.onerror?.(error);
      script.src = address;
      this.inside.document.body.append(script);
    }
    async postMessage(data) {
      const copy = structuredClone(data);
      await this.loaded;
      this.inside.dispatchEvent(new MessageEvent("message", { data: copy }));
    }
    terminate() {
      this.frame.remove();
    }
  };
}
