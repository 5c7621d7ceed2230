"use strict";
// Every entry is verified before it is shown, by the same rules as `jwt-lp evidence verify`.
const TYPE = "evidence+jws";
const ALGORITHMS = {
  ES256: [{ name: "ECDSA", namedCurve: "P-256" }, { name: "ECDSA", hash: "SHA-256" }, "EC", ["crv", "kty", "x", "y"]],
  ES384: [{ name: "ECDSA", namedCurve: "P-384" }, { name: "ECDSA", hash: "SHA-384" }, "EC", ["crv", "kty", "x", "y"]],
  ES512: [{ name: "ECDSA", namedCurve: "P-521" }, { name: "ECDSA", hash: "SHA-512" }, "EC", ["crv", "kty", "x", "y"]],
  EdDSA: [{ name: "Ed25519" }, { name: "Ed25519" }, "OKP", ["crv", "kty", "x"]],
};
for (const size of ["256", "384", "512"]) {
  const hash = "SHA-" + size;
  ALGORITHMS["RS" + size] = [{ name: "RSASSA-PKCS1-v1_5", hash }, { name: "RSASSA-PKCS1-v1_5" }, "RSA", ["e", "kty", "n"]];
  ALGORITHMS["PS" + size] = [{ name: "RSA-PSS", hash }, { name: "RSA-PSS", saltLength: size / 8 }, "RSA", ["e", "kty", "n"]];
}
const STEPS = {
  decisions: "Decisions of the reviewers", plan: "The plan", journal: "The application of the plan",
  verification: "What became of it", closing: "The end of the evidence",
};
const ACTIONS = {
  role: "Remove from the role", deny: "Deny", handoff: "End the membership", exempt: "Exempt", keep: "Keep",
};
class Fault extends Error {}
const utf8 = new TextEncoder();
const toBase64url = (bytes) => {
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
};
const fromBase64url = (text) => {
  const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));
  if (toBase64url(bytes) !== text) throw new Fault("it is not in canonical base64url");
  return bytes;
};
const sha256 = async (text) => new Uint8Array(await crypto.subtle.digest("SHA-256", utf8.encode(text)));
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

async function readEntry(line) {
  const outer = JSON.parse(line);
  const [head, middle, tail, ...more] = outer.signature.split(".");
  if (Object.keys(outer).sort().join() !== "payload,signature" || middle !== "" || more.length) throw new Fault("it is not an entry");
  const header = JSON.parse(new TextDecoder().decode(fromBase64url(head)));
  const entry = JSON.parse(outer.payload);
  const key = entry.key;
  // The key alone decides the algorithm. Its other name in RFC 9864 is the same computation.
  const algorithm = key.alg === "Ed25519" ? "EdDSA" : key.alg;
  const known = ALGORITHMS[algorithm];
  if (!known) throw new Fault("this browser cannot verify " + key.alg + ": run jwt-lp evidence verify");
  const [imported, verified, kty, members] = known;
  if (header.alg !== algorithm || header.kid !== key.kid || header.typ !== TYPE || key.kty !== kty) throw new Fault("its signature is not that of its key");
  const canonical = {};
  for (const name of members) canonical[name] = key[name];
  const thumbprint = toBase64url(await sha256(JSON.stringify(canonical)));
  const loaded = await crypto.subtle.importKey("jwk", canonical, imported, false, ["verify"]);
  const signed = head + "." + toBase64url(utf8.encode(outer.payload));
  if (!(await crypto.subtle.verify(verified, loaded, fromBase64url(tail), utf8.encode(signed)))) throw new Fault("its signature is wrong: it was changed after it was signed");
  return { ...entry, thumbprint, digest: hex(await sha256(signed + "." + tail)) };
}

function orderFault(entry, number, before) {
  if (entry.version !== 1 || !Object.hasOwn(STEPS, entry.step)) return "it is not an entry of the format that this page reads";
  if (before && before.step === "closing") return "it comes after the entry that closes the file";
  if (entry.number !== number) return "an entry was dropped, added or moved";
  if (entry.previous !== (before ? before.digest : "")) return "it does not follow the entry before it: an entry was replaced";
  return "";
}

// A character that is not seen could make a sentence look like another one. Of a file, line ends and tabs are kept.
const escape = (text, kept) => String(text).replace(/[\p{C}\p{Z}]/gu, (char) =>
  kept.includes(char) ? char : "\\u{" + char.codePointAt(0).toString(16) + "}");

const make = (name, text, parent) => {
  const element = document.createElement(name);
  element.textContent = escape(text, name === "pre" ? " \n\r\t" : " ");
  parent.append(element);
  return element;
};

function describe(item) {
  const through = item.role && item.of !== "role" ? " through the role " + item.role : "";
  const kept = item.instead && item.instead.length ? ", except " + item.instead.join(" ") : "";
  return `${item.of} ${item.name}, ${item.grant || "all grants"}${through}${kept}`;
}

function decision(item) {
  const until = item.until ? " until " + item.until : "";
  const why = item.comment ? ": " + item.comment : "";
  return `${ACTIONS[item.action] || item.action}: ${describe(item)}${until}. Decided by ${item.reviewer || "nobody"}${why}`;
}

const amount = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
const BEGUN = { trial: "The trial began: denied", final: "The final stage began: taken out", "": "Applied: taken back" };

// A line of a journal in plain words; items by their ids.
function event(line, items) {
  const when = `${new Date(line.at * 1000).toISOString()} by ${line.by}: `;
  const what = (id) => items.has(id) ? describe(items.get(id)) : id;
  switch (line.what) {
    case "notice": return [when + `Notice was given of ${amount(line.items.length, "item")}.`];
    case "intent": return [
      when + `${BEGUN[line.stage || ""]} ${amount(line.items.length, "item")}, left out ${line.dropped.length}.`,
      ...line.dropped.map(([id, reason]) => `Left out: ${what(id)}: ${reason}`),
    ];
    case "done": return [when + "This was completed."];
    case "restored": return [when + `Restored during the trial, a regret: ${what(line.item)}${line.reason ? ": " + line.reason : ""}`];
    case "undoing": return [when + "Undoing the whole plan began."];
    case "undone": return [when + "The whole plan was undone."];
    default: return [];
  }
}

function journal(text, items) {
  const lines = [];
  for (const each of text.split("\n")) {
    try {
      if (each) lines.push(...event(JSON.parse(each), items));
    } catch {
      lines.push("A line that was not completed: its step was never started.");
    }
  }
  return lines;
}

function stages(plan) {
  if (!plan.stages || !plan.stages.length) return "At once, without stages.";
  const steps = plan.stages.map((stage) => `${stage.name} for ${amount(stage.days, "day")}`);
  return `In stages: ${[...steps, "final"].join(", then ")}.`;
}

function showList(texts, section) {
  const place = make("ul", "", section);
  for (const text of texts) make("li", text, place);
}

function showDecisions(plan, section) {
  const list = make("ul", "", section);
  const groups = Object.create(null);
  for (const item of plan.items) {
    let place = list;
    if (item.group) {
      groups[item.group] ??= make("ul", "", make("li", `One decision about a group (${item.group}):`, list));
      place = groups[item.group];
    }
    make("li", decision(item), place);
  }
}

function show(entry, items) {
  const section = make("section", "", document.getElementById("entries"));
  make("h2", `${entry.number}. ${STEPS[entry.step]}`, section);
  make("p", `${new Date(entry.at * 1000).toISOString()} by ${entry.by}`, section);
  for (const file of entry.files) {
    if (entry.step === "plan") {
      const plan = JSON.parse(file.text);
      for (const item of plan.items) items.set(item.id, item);
      make("p", stages(plan), section);
      showDecisions(plan, section);
    }
    if (entry.step === "journal") showList(journal(file.text, items), section);
    const details = make("details", "", section);
    make("summary", file.name, details);
    make("pre", file.text, details);
  }
}

function verdict(text, kind) {
  const element = document.getElementById("verdict");
  element.textContent = text;
  element.className = kind;
}

function askForTrust(thumbprints, head, closed) {
  const place = document.getElementById("trust");
  make("p", "This page can only show that nothing was changed since it was signed with the key below. Whoever makes a page of their own signs it with a key of their own, and can write another script. So compare the thumbprint with the one that you know from elsewhere, or run jwt-lp evidence verify.", place);
  make("p", "Signed by: ", place);
  for (const each of thumbprints) make("code", each + " ", place);
  make("p", "Last entry: " + head, place);
  const label = make("label", "The thumbprint that you know (several with blanks between)", place);
  const input = make("input", "", place);
  label.htmlFor = input.id = "known";
  input.addEventListener("input", () => {
    const known = new Set(input.value.split(/[\s,]+/).filter(Boolean));
    if (!known.size) verdict(unconfirmed(closed), closed ? "wait" : "bad");
    else if (thumbprints.every((each) => known.has(each))) verdict(closed ? "Unchanged and complete, and signed by the key that you know." : "Unchanged and signed by the key that you know, but not closed: later entries may have been dropped.", closed ? "good" : "bad");
    else verdict("Signed by another key than the one that you know.", "bad");
  });
}

const unconfirmed = (closed) => closed
  ? "Unchanged since it was signed, and complete. Compare the thumbprint to know by whom."
  : "Unchanged since it was signed, but not closed: later entries may have been dropped.";

async function verifyPage() {
  const lines = JSON.parse(document.getElementById("evidence").textContent);
  let before = null;
  const thumbprints = new Set();
  const items = new Map();
  for (const [place, line] of lines.entries()) {
    let fault = "";
    let entry = null;
    try {
      entry = await readEntry(line);
      fault = orderFault(entry, place + 1, before);
      if (!fault) show(entry, items);
    } catch (error) {
      fault = error instanceof Fault ? error.message : "it cannot be read";
    }
    if (fault) {
      verdict(`Changed: entry ${place + 1} cannot be trusted, because ${fault}.`, "bad");
      return;
    }
    thumbprints.add(entry.thumbprint);
    before = entry;
  }
  if (!before) {
    verdict("Empty: there is no entry.", "bad");
    return;
  }
  const closed = before.step === "closing";
  verdict(unconfirmed(closed), closed ? "wait" : "bad");
  askForTrust([...thumbprints], before.digest, closed);
}

verifyPage();
