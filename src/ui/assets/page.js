// Keeps the page up to date. Nothing here is needed to read a page or to act.
'use strict';
(() => {
  const body = document.body;
  // What is in use is left alone: typing, a selection, an open menu, checked boxes, a form that is
  // being sent, and buttons below a pointer that moves.
  let sending = false;
  let moved = -1e9;
  addEventListener('pointermove', () => { moved = performance.now(); }, { passive: true });
  const busy = () => {
    const at = document.activeElement;
    const typing = at && at.matches('input:not([type=checkbox]), select, textarea');
    const selected = String(document.getSelection() || '') !== '';
    const open = document.querySelector('details.pop[open]');
    const checked = document.querySelector('td.check input:checked');
    const aimed = performance.now() - moved < 3000 && document.querySelector('.actions:hover, .bulk:hover');
    return sending || typing || selected || open || checked || aimed;
  };

  // When forms came that were not there before. A click that was meant for another one is not for them.
  const born = new WeakMap();
  const note = (node) => {
    if (node.nodeType !== Node.ELEMENT_NODE) return node;
    const forms = node.matches('form') ? [node] : node.querySelectorAll('form');
    for (const form of forms) born.set(form, performance.now());
    return node;
  };
  // A field may have the name of a property.
  const posted = (form) => form.getAttribute('method') === 'post';
  const form = (node) => node.nodeName === 'FORM' && posted(node);

  // Makes `to` of `from`, and leaves alone what is the same or in use.
  const morph = (from, to) => {
    if (from.id === 'lost' || from.isEqualNode(to)) return;
    const other = form(from) && from.getAttribute('action') !== to.getAttribute?.('action');
    if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName || other) {
      from.replaceWith(note(to));
      return;
    }
    if (from.nodeType !== Node.ELEMENT_NODE) {
      if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
      return;
    }
    if (from === document.activeElement && from.matches('input, select, textarea')) return;
    for (const { name } of [...from.attributes]) {
      const kept = name === 'open' || name === 'hidden' || name === 'tabindex' || from.id === 'output';
      if (!to.hasAttribute(name) && !kept) from.removeAttribute(name);
    }
    for (const { name, value } of [...to.attributes]) {
      const kept = ['hidden', 'open', 'checked', 'tabindex'].includes(name) ||
        (name === 'class' && from.id === 'output');
      if (from.getAttribute(name) !== value && !kept) from.setAttribute(name, value);
    }
    // Elements with an id are found again wherever they are now; those that are gone go first, so that
    // the others need not move.
    const next = [...to.childNodes];
    const wanted = new Set(next.map((child) => child.id).filter(Boolean));
    const known = new Map();
    for (const child of [...from.children]) {
      if (!child.id) continue;
      if (wanted.has(child.id)) known.set(child.id, child);
      else child.remove();
    }
    let at = from.firstChild;
    for (const child of next) {
      const same = child.id && known.get(child.id);
      if (same) {
        if (same !== at) from.insertBefore(same, at);
        else at = at.nextSibling;
        morph(same, child);
      } else if (at && !at.id && !child.id) {
        const old = at;
        at = at.nextSibling;
        morph(old, child);
      } else {
        from.insertBefore(note(child), at);
      }
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  };

  const edit = document.getElementById('edit');
  const lost = (is) => {
    const note = document.getElementById('lost');
    note.hidden = !is;
    note.textContent = is ? body.dataset.lost : '';
  };
  let asking = false;
  let again = false;
  let allowed = 0;
  const refresh = async () => {
    const begun = performance.now();
    // A form for a task is kept as it is, and so is what was refused or asked.
    if (edit || 'still' in body.dataset) return;
    if (asking || busy() || document.hidden || begun < allowed) {
      again = true;
      return;
    }
    asking = true;
    again = false;
    try {
      const answer = await fetch(location.pathname + location.search, {
        headers: { accept: 'text/html' }, credentials: 'same-origin',
        signal: AbortSignal.timeout(10000),
      });
      const text = await answer.text();
      // What was removed meanwhile is told as the page tells it.
      if (!answer.ok && answer.status !== 404) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(text, 'text/html');
      if (busy()) {
        again = true;
        return;
      }
      const [main, next] = [document.getElementById('main'), page.getElementById('main')];
      const said = document.getElementById('said');
      if (said && performance.now() < 20000 && !next.querySelector('#said')) {
        next.querySelector('#lost').after(said.cloneNode(true));
      }
      const output = document.getElementById('output');
      const end = !output || output.scrollTop + output.clientHeight >= output.scrollHeight - 8;
      morph(main, next);
      prepare();
      const health = [document.querySelector('.health'), page.querySelector('.health')];
      if (health[0] && health[1]) morph(health[0], health[1]);
      follow(end);
      if (stream && stream.readyState === EventSource.OPEN) lost(false);
    } catch {
      again = true;
      lost(true);
    } finally {
      asking = false;
      // A page that costs much is asked for less often.
      allowed = performance.now() + Math.min(10 * (performance.now() - begun), 30000);
    }
  };
  setInterval(() => { if (again) refresh(); }, 1000);

  // The stream of changes. A hidden tab holds none: browsers open few connections to a host.
  let stream = null;
  const connect = () => {
    if (stream || document.hidden) return;
    stream = new EventSource('/live?path=' + encodeURIComponent(location.pathname));
    let before = false;
    stream.addEventListener('open', () => {
      // What happened meanwhile was not told.
      if (before || performance.now() > 1000 || !document.getElementById('lost').hidden) refresh();
      before = true;
      lost(false);
    });
    stream.addEventListener('changed', refresh);
    stream.addEventListener('error', () => {
      lost(true);
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
  addEventListener('pageshow', (event) => { if (event.persisted) { sending = false; connect(); refresh(); } });
  // Times grow old without any event.
  setInterval(refresh, 15000);

  // What is destructive asks first; a form is sent once.
  document.addEventListener('submit', (event) => {
    const form = event.target;
    const button = event.submitter;
    if (performance.now() - (born.get(form) ?? -1e9) < 700) {
      event.preventDefault();
      return;
    }
    const many = button && button.dataset.many;
    if (many) {
      const count = form.querySelectorAll('input[name=name]:checked').length;
      const text = many.replace('{}', button.textContent.trim()).replace('{}', count);
      if (count === 0 || !confirm(text)) {
        event.preventDefault();
        return;
      }
    }
    const asked = button && button.dataset.confirm;
    if (asked && !confirm(asked)) {
      event.preventDefault();
      return;
    }
    // Without the script a page would ask.
    if (many || asked) {
      const sure = document.createElement('input');
      Object.assign(sure, { type: 'hidden', name: 'sure', value: '1' });
      form.append(sure);
      setTimeout(() => sure.remove());
    }
    if (posted(form)) {
      if (sending) event.preventDefault();
      sending = true;
      setTimeout(() => { sending = false; }, 3000);
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
    // The marks of a chart are one stop of the tab key. The arrows go from one to the next.
    for (const marks of document.querySelectorAll('[data-rove]')) {
      const links = marks.querySelectorAll('a');
      const stop = [...links].find((link) => link.getAttribute('tabindex') === '0') || middle(links);
      for (const link of links) link.setAttribute('tabindex', link === stop ? '0' : '-1');
    }
  };
  const middle = (links) => links[Math.floor(links.length / 2)];
  const place = (link) => link.getBoundingClientRect().left;
  document.addEventListener('keydown', (event) => {
    const marks = event.target.closest?.('[data-rove]');
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (!marks || !step || event.ctrlKey || event.metaKey || event.altKey) return;
    const links = [...marks.querySelectorAll('a')].sort((a, b) => place(a) - place(b));
    const at = links.indexOf(event.target.closest('a'));
    const next = links[Math.max(0, Math.min(links.length - 1, at + step))];
    event.preventDefault();
    for (const link of links) link.setAttribute('tabindex', link === next ? '0' : '-1');
    next.focus();
  });

  // The form for a task: what it means is shown as one types. Of the form itself only what is wrong
  // with a field is replaced.
  let wait = 0;
  let turn = 0;
  let previewing = false;
  let later = false;
  const told = (page) => {
    for (const at of edit.querySelectorAll('.problems')) {
      const field = document.getElementById(at.id.replace('e-', 'f-'));
      const next = page.getElementById(at.id);
      // What is empty is not called wrong before it is sent.
      if (!field || !next || (field.value === '' && !at.firstChild)) continue;
      morph(at, next);
      if (at.querySelector('.problem')) field.setAttribute('aria-invalid', 'true');
      else field.removeAttribute('aria-invalid');
    }
  };
  const preview = async () => {
    // One at a time.
    if (previewing) {
      later = true;
      return;
    }
    previewing = true;
    later = false;
    const mine = ++turn;
    const fields = new URLSearchParams(new FormData(edit));
    fields.set('step', 'preview');
    try {
      const answer = await fetch(edit.getAttribute('action'), {
        method: 'POST', body: fields, headers: { accept: 'text/html' },
        credentials: 'same-origin', signal: AbortSignal.timeout(15000),
      });
      const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
      const next = page.getElementById('preview');
      if (mine !== turn || sending) return;
      if (!next && answer.status >= 500) throw new Error(String(answer.status));
      // What is refused for good is told where the preview is.
      const place = document.getElementById('preview');
      if (!next) {
        place.replaceChildren(...page.getElementById('main').children);
        return;
      }
      morph(place, next);
      told(page);
      lost(false);
    } catch {
      if (mine !== turn) return;
      lost(true);
      wait = setTimeout(preview, 3000);
    } finally {
      previewing = false;
      if (later && !sending) preview();
    }
  };
  if (edit) {
    edit.addEventListener('input', () => {
      turn++;
      clearTimeout(wait);
      wait = setTimeout(preview, 250);
      // Only what was shown may be saved.
      const save = document.getElementById('save');
      if (save) save.disabled = true;
    });
  }

  // The zone of the viewer, once.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const token = document.querySelector('#preferences input[name=token]');
  let asked = true;
  try {
    asked = sessionStorage.getItem('zone') === zone;
    sessionStorage.setItem('zone', zone);
  } catch {
    // Without storage the zone is that of the cluster.
  }
  if (zone && token && body.dataset.zone !== zone && !asked) {
    const fields = new URLSearchParams({ token: token.value, zone });
    fetch('/settings', { method: 'POST', body: fields, redirect: 'manual' }).then(refresh, () => {});
  }

  // Keys: / to the search, g and a letter to a page.
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
