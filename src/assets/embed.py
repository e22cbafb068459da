#!/usr/bin/env python3
"""Writes the C file that has what `manifest` lists as bytes, as they are and compressed.

    embed.py MANIFEST OUTPUT_C OUTPUT_NOTICES OUTPUT_DEPFILE [STAMP]

STAMP is fetch.py's, next to node_modules/; without it, or where it says "absent", what comes from npm is left
out. The same input gives the same bytes, whenever and wherever.
"""
import gzip
import hashlib
import json
import os
import re
import sys

TYPES = {
    '.css': 'text/css; charset=utf-8',
    '.html': 'text/html; charset=utf-8',
    '.js': 'text/javascript; charset=utf-8',
    '.svg': 'image/svg+xml',
    '.txt': 'text/plain; charset=utf-8',
}
HASH_DIGITS = 16
# Characters of the source on one line of the C file.
LINE_MAX = 96
NO_NOTICES = b'This build of ticketd contains nothing of others.\n'


class Embedding:
    def __init__(self, manifest, packages):
        self.folder = os.path.dirname(manifest)
        self.packages = packages  # node_modules, or None
        self.read = [manifest, os.path.abspath(__file__)]
        self.files, self.pages, self.replacements, self.taken = {}, {}, {}, []
        with open(manifest, encoding='utf-8') as file:
            rows = [line.split() for line in file if line.strip() and not line.startswith('#')]
        for kind, name, *rest in rows:
            if kind == 'replace':
                self.replacements.setdefault(name, []).append([word.encode() for word in rest])
        for kind, name, *rest in rows:
            if kind == 'file' and rest[0].startswith('npm:'):
                self.take(name, rest[0].removeprefix('npm:'))
        self.notices = self.collect_notices()
        for kind, name, *rest in rows:
            if kind == 'file' and not rest[0].startswith('npm:'):
                self.files[name] = self.notices if rest[0] == 'notices' else self.content(self.folder, rest[0])
        for kind, name, *rest in rows:
            if kind == 'page':
                source = rest[-1] if self.packages is None else rest[0]
                self.pages[name] = self.page(source)

    def content(self, folder, name):
        path = os.path.join(folder, name)
        self.read.append(path)
        with open(path, 'rb') as file:
            return file.read()

    def take(self, name, source):
        """A file from npm; the map to its sources, which is not served, is not mentioned either."""
        if self.packages is None:
            return
        content = re.sub(rb'\n(//|/\*)# sourceMappingURL=[^\n]*', b'', self.content(self.packages, source))
        for old, new in self.replacements.get(name, []):
            if old not in content:
                sys.exit(f'{source} has no {old.decode()} any more: see manifest')
            content = content.replace(old, new)
        self.files[name] = content
        self.taken.append(source)

    def collect_notices(self):
        """The licences of the packages, and what they say of those whose works their files contain."""
        if not self.taken:
            return NO_NOTICES
        parts = ['The pages of ticketd contain works of others, under the licences below.\n'
                 'Of a file, the comments that name licences and the addresses of what it would fetch from\n'
                 'elsewhere may have been taken out; nothing else of it is changed.\n']
        for package in sorted({source.split('/')[0] for source in self.taken}):
            described = json.loads(self.content(self.packages, f'{package}/package.json'))
            parts.append(f"{'=' * 80}\n{described['name']} {described['version']} ({described['license']})\n")
            sources = [source for source in self.taken if source.startswith(f'{package}/')]
            for notice in ['LICENSE', 'NOTICE'] + [source.split('/', 1)[1] + '.LICENSE.txt' for source in sources]:
                if os.path.exists(os.path.join(self.packages, package, notice)):
                    text = self.content(self.packages, f'{package}/{notice}').decode()
                    parts.append(f"{'-' * 80}\n{package}/{notice}\n\n{text.strip()}\n")
        return '\n'.join(parts).encode()

    def page(self, source):
        def line(match):
            return match.group().replace(b'?}}', b'}}') if match.group(1).decode() in self.files else b''

        def address(match):
            name = match.group(1).decode()
            if name not in self.files:
                sys.exit(f'{source}: there is no file {name} in manifest')
            return f'assets/{self.served_name(name)}'.encode()
        content = re.sub(rb'(?m)^[^\n]*\{\{([^}]*)\?\}\}[^\n]*\n', line, self.content(self.folder, source))
        return re.sub(rb'\{\{([^}]*)\}\}', address, content)

    def served_name(self, name):
        base, extension = os.path.splitext(name)
        return f'{base}-{digest(self.files[name])}{extension}'


def digest(content):
    return hashlib.sha256(content).hexdigest()[:HASH_DIGITS]


def literal(content):
    """As a C string literal, over many lines."""
    # a question mark too, for fear of trigraphs
    plain = set(range(0x20, 0x7f)) - set(b'"\\?')
    lines, line = [], ''
    for byte in content:
        line += chr(byte) if byte in plain else f'\\{byte:03o}'
        if len(line) >= LINE_MAX:
            lines.append(line)
            line = ''
    return '\n'.join(f'    "{line}"' for line in lines + [line])


def text(content):
    return f'{{.base = "{content}", .len = {len(content)}}}'


def write_table(output, kind, rows):
    """`rows`: (name, extension, content)"""
    for index, (_, _, content) in enumerate(rows):
        compressed = gzip.compress(content, 9, mtime=0)
        for suffix, data in ('', content), ('_gzip', compressed):
            output.write(f'static const char {kind}_{index}{suffix}[] =\n{literal(data)};\n')
    output.write(f'static const struct asset {kind}s[] = {{\n')
    for index, (name, extension, content) in enumerate(rows):
        tag = digest(content)
        output.write(f'    {{.name = {text(name)},\n     .type = {text(TYPES[extension])},\n'
                     f'     .bytes = {{.base = {kind}_{index}, .len = sizeof({kind}_{index}) - 1}},\n'
                     f'     .gzip = {{.base = {kind}_{index}_gzip, .len = sizeof({kind}_{index}_gzip) - 1}},\n'
                     f'     .etag = {{.base = "\\"{tag}\\"", .len = {len(tag) + 2}}},\n'
                     f'     .gzip_etag = {{.base = "\\"{tag}-gzip\\"", .len = {len(tag) + 7}}}}},\n')
    output.write('};\n')


def main():
    manifest, output_c, output_notices, output_depfile, *stamp = sys.argv[1:]
    packages = None
    if stamp:
        with open(stamp[0], encoding='utf-8') as file:
            if file.read() == 'present\n':
                packages = os.path.join(os.path.dirname(stamp[0]), 'node_modules')
    embedding = Embedding(manifest, packages)
    files = [(embedding.served_name(name), os.path.splitext(name)[1], content)
             for name, content in embedding.files.items()]
    pages = [(name, '.html', content) for name, content in embedding.pages.items()]
    with open(output_c, 'w', encoding='ascii') as output:
        output.write('/* Written by src/assets/embed.py. */\n#include "assets/assets.h"\n\n')
        write_table(output, 'file', files)
        write_table(output, 'page', pages)
        output.write('const struct asset_table asset_table = {\n'
                     f'    .files = files, .file_count = {len(files)},\n'
                     f'    .pages = pages, .page_count = {len(pages)},\n}};\n')
    with open(output_notices, 'wb') as output:
        output.write(embedding.notices)
    with open(output_depfile, 'w', encoding='utf-8') as output:
        escaped = (path.replace(' ', '\\ ') for path in embedding.read)
        output.write(f"{output_c}: {' '.join(escaped)}\n")


if __name__ == '__main__':
    main()
