// Keeps the page up to date. Nothing here is needed to read a page or to act.
'use strict';
(() => {
  const body = document.body;
  const busy = () => {
    const at = document.activeElement;
    const typing = at && at.matches('input:not([type=checkbox]), select, textarea');
    const selected = String(document.getSelection() || '') !== '';
    const open = document.querySelector('details.pop[open]');
    const checked = document.querySelector('td.check input:checked');
    return typing || selected || open || checked;
  };

  // Makes `to` of `from`, and leaves alone what is the same or in use.
  const morph = (from, to) => {
    if (from.isEqualNode(to)) return;
    if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName) {
      from.replaceWith(to);
      return;
    }
    if (from.nodeType !== Node.ELEMENT_NODE) {
      if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
      return;
    }
    if (from === document.activeElement && from.matches('input, select, textarea')) return;
    for (const { name } of [...from.attributes]) {
      const kept = name === 'open' || name === 'hidden' || from.id === 'output';
      if (!to.hasAttribute(name) && !kept) from.removeAttribute(name);
    }
    for (const { name, value } of [...to.attributes]) {
      const kept = (name === 'hidden' || name === 'open' || name === 'checked') ||
        (name === 'class' && from.id === 'output');
      if (from.getAttribute(name) !== value && !kept) from.setAttribute(name, value);
    }
    // Elements with an id are found again wherever they are now.
    const known = new Map();
    for (const child of from.children) if (child.id) known.set(child.id, child);
    let at = from.firstChild;
    for (const next of [...to.childNodes]) {
      const same = next.id && known.get(next.id);
      if (same) {
        if (same !== at) from.insertBefore(same, at);
        else at = at.nextSibling;
        morph(same, next);
      } else if (at && !(at.id && to.querySelector('#' + CSS.escape(at.id)))) {
        const old = at;
        at = at.nextSibling;
        morph(old, next);
      } else {
        from.insertBefore(next, at);
      }
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  };

  let asking = false;
  let again = false;
  const refresh = async () => {
    if (asking || busy() || document.hidden) {
      again = true;
      return;
    }
    asking = true;
    again = false;
    try {
      const answer = await fetch(location.pathname + location.search, {
        headers: { accept: 'text/html' }, credentials: 'same-origin',
      });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
      if (busy()) {
        again = true;
        return;
      }
      const [main, next] = [document.getElementById('main'), page.getElementById('main')];
      for (const said of main.querySelectorAll('.said')) next.prepend(said.cloneNode(true));
      const output = document.getElementById('output');
      const end = output && output.scrollTop + output.clientHeight >= output.scrollHeight - 8;
      morph(main, next);
      prepare();
      const health = [document.querySelector('.health'), page.querySelector('.health')];
      if (health[0] && health[1]) morph(health[0], health[1]);
      follow(end);
    } catch {
      again = true;
    } finally {
      asking = false;
    }
  };
  setInterval(() => { if (again) refresh(); }, 1000);

  // The stream of changes. A hidden tab holds none: browsers open few connections to a host.
  let stream = null;
  const lost = document.getElementById('lost');
  const connect = () => {
    if (stream || document.hidden) return;
    stream = new EventSource('/live');
    let before = false;
    stream.addEventListener('open', () => {
      if (before || !document.getElementById('lost').hidden) refresh();
      before = true;
      document.getElementById('lost').hidden = true;
    });
    stream.addEventListener('changed', refresh);
    stream.addEventListener('error', () => {
      const note = document.getElementById('lost');
      note.textContent = body.dataset.lost;
      note.hidden = false;
      if (stream && stream.readyState === EventSource.CLOSED) {
        stream = null;
        setTimeout(connect, 2000);
      }
    });
  };
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) {
      if (stream) stream.close();
      stream = null;
    } else {
      connect();
      refresh();
    }
  });
  addEventListener('pagehide', () => { if (stream) stream.close(); stream = null; });
  // Times grow old without any event.
  setInterval(refresh, 15000);

  // What is destructive asks first; a form is sent once.
  document.addEventListener('submit', (event) => {
    const form = event.target;
    const button = event.submitter;
    const many = button && button.dataset.many;
    if (many) {
      const count = form.querySelectorAll('input[name=name]:checked').length;
      const text = many.replace('{}', count).replace('{}', button.textContent.trim());
      if (count === 0 || !confirm(text)) {
        event.preventDefault();
        return;
      }
    }
    if (button && button.dataset.confirm && !confirm(button.dataset.confirm)) {
      event.preventDefault();
      return;
    }
    if (form.method === 'post') {
      if (form.dataset.sent) event.preventDefault();
      form.dataset.sent = '1';
      setTimeout(() => delete form.dataset.sent, 3000);
    }
  });
  document.addEventListener('change', (event) => {
    const at = event.target;
    if (at.id === 'all') {
      for (const box of document.querySelectorAll('td.check input')) box.checked = at.checked;
    }
    if (at.id === 'wrap') document.getElementById('output')?.classList.toggle('nowrap', !at.checked);
    if (at.form && at.form.id === 'preferences') at.form.requestSubmit();
  });
  const follow = (end) => {
    const output = document.getElementById('output');
    const wanted = document.getElementById('follow');
    if (output && end && wanted && wanted.checked) output.scrollTop = output.scrollHeight;
  };
  // What needs the script is hidden until it runs.
  const prepare = () => {
    for (const tool of document.querySelectorAll('.tool[hidden], #all[hidden]')) tool.hidden = false;
  };

  // The zone of the viewer, once.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const preferences = document.getElementById('preferences');
  if (zone && preferences && body.dataset.zone !== zone && !sessionStorage.getItem('zone')) {
    sessionStorage.setItem('zone', zone);
    const fields = new URLSearchParams(new FormData(preferences));
    fields.set('zone', zone);
    fetch('/settings', { method: 'POST', body: fields, redirect: 'manual' }).then(refresh, () => {});
  }

  // Keys: / to the search, g and a letter to a page, ? is the list of them in the titles of the menu.
  let waiting = false;
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches('input, select, textarea')) return;
    if (event.key === '/') {
      const search = document.querySelector('input[type=search]');
      if (search) {
        event.preventDefault();
        search.focus();
      }
      return;
    }
    if (waiting) {
      const at = 'otefnxwc'.indexOf(event.key);
      const link = document.querySelectorAll('.top nav a')[at];
      if (at >= 0 && link) location.assign(link.href);
    }
    waiting = event.key === 'g';
  });

  prepare();
  follow(true);
  // On a small screen the present is what is seen first.
  const chart = document.querySelector('.chart')?.parentElement;
  if (chart) chart.scrollLeft = (chart.scrollWidth - chart.clientWidth) / 2;
  connect();
})();
