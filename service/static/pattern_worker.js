// The other side of pattern.js: lines in, true or false out. It may be ended at any moment.
let pattern = null;

self.onmessage = ({ data }) => {
  if (data.source !== undefined) {
    pattern = new RegExp(data.source, data.flags);
    return;
  }
  self.postMessage("begun");
  self.postMessage(data.texts.map((text) => pattern.test(text)));
};
