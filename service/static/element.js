// Nodes of the page. Whatever came in an event reaches the page through here, and only ever as text.

/** A new element; `text` becomes a text node, `class` and the rest attributes, undefined ones are left out. */
export function element(tag, { text, ...attributes } = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  if (text !== undefined && text !== null) node.textContent = text;
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** The element with this id; throws where the page has none, since that is a mistake of ours. */
export function byId(id) {
  const node = document.getElementById(id);
  if (node === null) throw new Error(`The page has no element with the id ${id}.`);
  return node;
}

/** Set the text only where it differs: an unchanged node is neither laid out nor announced again. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** The same with elements among the text: changed only where it reads differently. */
export function setContent(node, ...parts) {
  if (node.textContent !== parts.map((part) => part.textContent ?? part).join("")) node.replaceChildren(...parts);
}

/** Set or, with null, remove an attribute, only where it differs. */
export function setAttribute(node, name, value) {
  if (value === null || value === undefined) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) {
    node.setAttribute(name, value);
  }
}

const SVG = "http://www.w3.org/2000/svg";

/** A new element of a drawing. */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** A picture of one path in a 16 × 16 box, in the colour of the text around it. */
export function drawing(path, { className = "icon", viewBox = "0 0 16 16" } = {}) {
  return svg("svg", { viewBox, class: className, "aria-hidden": "true" }, svg("path", { d: path }));
}
