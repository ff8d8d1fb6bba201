/* Where a page is opened from the disk, browsers start no worker, and the search runs in one. There, and only there,
   a hidden frame stands in for it: scripts run in it, and messages are events that go to and fro. */
if (location.protocol === "file:") {
  class IFrameWorker extends EventTarget {
    constructor(url) {
      super()
      this.onmessage = null
      this.element = document.createElement("iframe")
      this.element.hidden = true
      document.body.appendChild(this.element)
      this.inside = this.element.contentWindow
      this.inside.postMessage = data => setTimeout(() => this.receive(data))
      this.inside.importScripts = (...urls) =>
        urls.reduce((before, next) => before.then(() => this.load(next)), Promise.resolve())
      this.ready = this.load(url)
    }
    load(url) {
      return new Promise((resolve, reject) => {
        const script = this.inside.document.createElement("script")
        script.src = new URL(url, location.href).href
        script.onload = resolve
        script.onerror = reject
        this.inside.document.body.appendChild(script)
      })
    }
    receive(data) {
      const message = new MessageEvent("message", {data})
      this.dispatchEvent(message)
      if (this.onmessage) this.onmessage(message)
    }
    postMessage(data) {
      this.ready.then(() => this.inside.dispatchEvent(new MessageEvent("message", {data})))
    }
    terminate() {
      this.element.remove()
    }
  }
  window.IFrameWorker = IFrameWorker
  window.Worker = IFrameWorker
}
