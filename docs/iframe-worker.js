// Pages that are opened from a disk (file://) may start no worker, and the theme's search is one. Here it runs in a
// hidden frame instead. The theme's plugin `offline` would fetch a script for that from elsewhere, unless one with
// this name is among the polyfills.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.waiting = []
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.append(frame)
      this.inner = frame.contentWindow
      this.inner.importScripts = (...urls) => Promise.all(urls.map(each => this.run(each)))
      this.inner.postMessage = content =>
        setTimeout(() => this.dispatchEvent(new MessageEvent("message", { data: content })))
      this.run(url).then(() => {
        const waiting = this.waiting
        this.waiting = null
        waiting.forEach(content => this.postMessage(content))
      })
    }
    run(url) {
      return new Promise((resolve, reject) => {
        const script = this.inner.document.createElement("script")
        script.src = new URL(url, location.href).href
        script.onload = resolve
        script.onerror = reject
        this.inner.document.body.append(script)
      })
    }
    postMessage(content) {
      if (this.waiting) this.waiting.push(content)
      else this.inner.dispatchEvent(new this.inner.MessageEvent("message", { data: content }))
    }
    terminate() {}
    set onmessage(listener) { this.addEventListener("message", listener) }
    set onerror(listener) { this.addEventListener("error", listener) }
  }
}
