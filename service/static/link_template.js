// Addresses elsewhere, as the server's configuration tells them: with {names} to fill in.

/** A template with its {names} filled in; null without a template, or where it is no web address. */
export function filled(template, values) {
  if (typeof template !== "string" || !/^https?:\/\//.test(template)) return null;
  return template.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? encodeURIComponent(values[name]) : whole));
}
