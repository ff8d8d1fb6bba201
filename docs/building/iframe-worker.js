/* Where a page is opened from the disk, browsers start no worker, and the search runs in one. There, and only there,
   a hidden frame stands in for it. */
if (location.protocol === "file:") {
  class IFrameWorker extends EventTarget {
    constructor(url) {
      super()
      this.onmessage = this.onerror = null
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.appendChild(frame)
      this.frame = frame.contentWindow
      window.addEventListener("message", event => {
        if (event.source !== this.frame) return
        const message = new MessageEvent("message", {data: event.data})
        this.dispatchEvent(message)
        if (this.onmessage) this.onmessage(message)
      })
      this.ready = new Promise(resolve => {
        this.frame.document.open()
        this.frame.document.write("<html><body></body></html>")
        this.frame.document.close()
        this.frame.postMessage = message => parent.postMessage(message, "*")
        this.frame.importScripts = (...urls) => urls.reduce((before, next) => before.then(() => this.load(next)), Promise.resolve())
        resolve(this.load(url))
      })
    }
    load(url) {
      return new Promise((resolve, reject) => {
        const script = this.frame.document.createElement("script")
        script.src = new URL(url, location.href).href
        script.onload = resolve
        script.onerror = reject
        this.frame.document.body.appendChild(script)
      })
    }
    postMessage(data) {
      this.ready.then(() => this.frame.dispatchEvent(new MessageEvent("message", {data})))
    }
    terminate() {
      this.frame.frameElement.remove()
    }
  }
  window.IFrameWorker = IFrameWorker
  window.Worker = IFrameWorker
}
