// A room: shows what changes in it, and sends what its reader does. All HTML comes from the server, escaped there.
"use strict";

const timeline = document.getElementById("timeline");
const composer = document.getElementById("composer");
const text = document.getElementById("text");
const trouble = document.getElementById("trouble");
const problem = document.getElementById("problem");
const where = document.getElementById("where");
const room = timeline.dataset.room;
let thread = ""; // the thread that is written into; empty: a new one
let events = null; // the stream of changes; none while nobody sees the page
let key = ""; // of the message that is being sent: the same one is sent again until it is taken

function nearEnd() {
  return window.innerHeight + window.scrollY > document.documentElement.scrollHeight - 160;
}

function toEnd() {
  window.scrollTo(0, document.documentElement.scrollHeight);
}

function localTimes(part) {
  for (const time of part.querySelectorAll("time"))
    time.textContent = new Date(time.dateTime).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

function element(html) {
  const holder = document.createElement("template");
  holder.innerHTML = html;
  return holder.content.firstElementChild;
}

function threadOf(id) {
  let section = document.getElementById("t-" + id);
  if (!section) {
    section = document.getElementById("thread").content.firstElementChild.cloneNode(true);
    section.id = "t-" + id;
    timeline.querySelector(".empty")?.remove();
    timeline.append(section);
  }
  return section;
}

function showPost({ id, root, html }) {
  const follows = nearEnd();
  const post = element(html);
  const before = document.getElementById("p-" + id);
  if (before) {
    // What somebody has opened stays open.
    const details = post.querySelectorAll("details");
    before.querySelectorAll("details").forEach((one, at) => details[at] && (details[at].open = one.open));
    before.replaceWith(post);
  } else if (root) threadOf(root).querySelector(".replies").append(post);
  else threadOf(id).prepend(post);
  localTimes(post);
  if (follows) toEnd();
}

function showAll(html) {
  const follows = nearEnd();
  timeline.innerHTML = html;
  localTimes(timeline);
  if (follows) toEnd();
}

function listen() {
  const version = encodeURIComponent(timeline.dataset.version);
  events?.close();
  events = new EventSource(`/room/events?room=${encodeURIComponent(room)}&version=${version}`);
  for (const [kind, show] of [["all", showAll], ["post", showPost]])
    events.addEventListener(kind, (event) => {
      show(JSON.parse(event.data));
      timeline.dataset.version = event.lastEventId;
    });
  events.onopen = () => {
    trouble.hidden = true;
    document.body.dataset.live = "yes";
  };
  events.onerror = () => {
    trouble.hidden = false;
    // A browser gives up where the answer is no stream: a proxy's error, a session that is over.
    if (events?.readyState === EventSource.CLOSED) setTimeout(again, 2000);
  };
}

// A browser keeps six connections to a site: a page that nobody sees leaves its own to the others.
function look() {
  if (document.hidden) {
    events?.close();
    events = null;
  } else if (!events) listen();
}

async function again() {
  if (!events) return;
  const answer = await fetch(location.href, { redirect: "manual" }).catch(() => null);
  if (answer?.type === "opaqueredirect") location.reload();
  else listen();
}

async function post(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ room, ...body }),
  });
  if (answer.status === 401) location.reload();
  if (!answer.ok) throw new Error(await answer.text());
}

function tell(sentence) {
  problem.textContent = sentence;
  problem.hidden = !sentence;
}

function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (one) => one.toString(16).padStart(2, "0")).join("");
}

async function send() {
  const said = text.value;
  if (!said.trim() || composer.classList.contains("sending")) return;
  key = key || newKey();
  composer.classList.add("sending");
  try {
    await post("/room/say", { key, text: said, root: thread });
    key = "";
    text.value = "";
    tell("");
    writeInto("");
    grow();
    toEnd();
  } catch (error) {
    tell(error instanceof TypeError ? composer.dataset.notSent : error.message);
  } finally {
    composer.classList.remove("sending");
  }
}

function writeInto(id) {
  thread = id;
  where.hidden = !id;
  text.placeholder = id ? composer.dataset.placeholderThread : composer.dataset.placeholder;
  if (!id) return;
  const root = document.querySelector(`#t-${id} .text`);
  const begin = (root?.textContent ?? "").trim().replace(/\s+/g, " ").slice(0, 60);
  where.firstElementChild.textContent = composer.dataset.replyTo.replace("{text}", begin);
  text.focus();
}

function grow() {
  text.style.height = "auto";
  text.style.height = Math.min(text.scrollHeight, 200) + "px";
}

const acts = {
  reply: (button) => writeInto(button.closest(".thread").id.slice(2)),
  cancel: () => writeInto(""),
  call: (button) => {
    if (!text.value.startsWith(button.dataset.call)) text.value = button.dataset.call + text.value;
    text.focus();
  },
};
for (const [act, path, more] of [
  ["good", "/room/judge", { good: true }],
  ["bad", "/room/judge", { good: false }],
  ["stop", "/room/stop", {}],
])
  acts[act] = (button) =>
    post(path, { id: button.closest(".post").id.slice(2), ...more }).catch((error) => tell(error.message));

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (button) acts[button.dataset.act](button);
});
composer.addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
text.addEventListener("keydown", (event) => {
  // Enter chooses a word while Chinese is being written.
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    send();
  }
});
text.addEventListener("input", () => {
  key = "";
  grow();
});

document.addEventListener("visibilitychange", look);
localTimes(timeline);
toEnd();
look();
