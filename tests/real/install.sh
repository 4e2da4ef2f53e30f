#!/usr/bin/env bash
# Installs what the tests with real components need into a cache folder outside the repository:
#   CACHE/bin/llama-server   llama.cpp's server (found on the machine, or unpacked from Debian sid)
#   CACHE/venv               Python with the official SDKs of OpenAI and Anthropic, the model writer and pytest
#   CACHE/node               the same SDKs of Node; their tests are skipped where node or npm is missing
# and, for `install.sh clients` alone, the clients of docs/guide/clients.md:
#   CACHE/clients            Python with LangChain, LiteLLM and LlamaIndex
#   CACHE/node-clients       Claude Code, Codex and the Vercel AI SDK
# Idempotent: what is there is kept; delete the cache folder to start again.
# Usage: install.sh [clients]     RHUMB_CACHE=FOLDER   RHUMB_LLAMA_SERVER=PROGRAM
set -euo pipefail

cache=${RHUMB_CACHE:-$HOME/.cache/rhumb}
# Newer or older pins are a deliberate change: the tests assert what these versions send.
python_packages=(openai==2.54.0 websockets==15.0.1 anthropic==2.12.0 gguf==0.19.0 numpy==2.4.6 pytest==9.2.0)

node_packages=(openai@6.49.0 @anthropic-ai/sdk@1.14.0)
python_clients=(openai==2.54.0 websockets==15.0.1 anthropic==2.14.0 litellm==1.106.2 langchain-openai==1.7.3 langchain-anthropic==1.7.10
    llama-index-llms-openai-like==0.8.1)
node_clients=(openai@6.49.0 @anthropic-ai/sdk@1.14.0 ai@7.0.173 @ai-sdk/anthropic@4.0.105
    @ai-sdk/openai-compatible@3.0.92 @anthropic-ai/claude-code@2.1.332 @openai/codex@0.171.0)

say() { printf 'install: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

# Prints the URI this machine's own apt uses for its release: a local mirror is used where there is one.
debian_mirror() {
    local codename
    codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
    apt-get indextargets --format '$(REPO_URI)' "Release: $codename" 'Component: main' 'Created-By: Packages' |
        head -n 1
}

# Downloads llama.cpp-tools and all it depends on with apt (a private apt directory: the machine's own sources, lists
# and packages stay untouched, no root needed) and unpacks them into CACHE/sid.
unpack_llama_from_sid() {
    local how="install llama.cpp yourself and name its server in RHUMB_LLAMA_SERVER"
    [ "$(. /etc/os-release 2>/dev/null && printf '%s' "${ID:-}")" = debian ] ||
        fail "no llama-server on PATH, and only a Debian machine can take it from sid; $how"
    local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    [ -r "$keyring" ] ||
        fail "$keyring is missing, which proves packages genuine: apt-get install debian-archive-keyring"
    local mirror
    mirror=$(debian_mirror)
    [ -n "$mirror" ] || fail "this machine's apt sources hold no 'main' of its own release, so no mirror is known; $how"

    say "llama-server: downloading and unpacking it from Debian sid (about 30 MB; 10 to 60 s)"
    local apt=$cache/apt root=$cache/sid.partial
    rm -rf "$apt" "$root"
    mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$root"
    : >"$apt/status"
    printf 'deb [signed-by=%s] %s sid main\n' "$keyring" "$mirror" >"$apt/sources.list"
    # Check-Valid-Until: a mirror frozen at some day serves an index past its validity date, and an old sid is fine
    # here. Signatures are still checked; what is given up is only the notice that the index is old.
    # Sandbox::User: apt's own user cannot write into a home folder; it matters only to root.
    cat >"$apt/apt.conf" <<CONF
Dir::Etc::SourceList "$apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State "$apt/state";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Acquire::Check-Valid-Until "false";
Acquire::Languages "none";
APT::Install-Recommends "false";
APT::Sandbox::User "$(id -un)";
CONF
    # With an empty status file apt counts nothing as installed and so fetches the C library too.
    APT_CONFIG=$apt/apt.conf apt-get -qq update >&2 || fail "apt could not read sid's index; the lines above say why"
    APT_CONFIG=$apt/apt.conf apt-get -qq --yes --download-only install llama.cpp-tools >&2 ||
        fail "apt could not download llama.cpp-tools from sid; the lines above say why; or $how"
    local package
    for package in "$apt"/cache/archives/*.deb; do
        dpkg-deb --extract "$package" "$root" || fail "could not unpack $package"
    done
    mv "$root" "$cache/sid"
    rm -rf "$apt"
}

# Writes the program the tests start. sid's programs need a newer C library than the machine's, so sid's own loader
# starts them with sid's libraries: like a chroot, but files of the host stay visible and root is not needed.
write_llama_wrapper() {
    local loader libraries backend
    loader=$(find "$cache/sid" -name 'ld-linux-*.so.*' | head -n 1)
    libraries=$(dirname "$(find "$cache/sid" -name libllama.so.0 | head -n 1)")
    # The CPU code for the oldest CPU of the architecture: it runs everywhere, and every machine computes alike.
    backend=$(find "$libraries/ggml" \( -name libggml-cpu-x64.so -o -name libggml-cpu-armv8.0_1.so \) | head -n 1)
    [ -n "$loader" ] && [ -n "$backend" ] || fail "sid's llama.cpp-tools is laid out unlike expected under $cache/sid"
    # A link left by an earlier run would lead the writing into the machine's own program.
    rm -f "$cache/bin/llama-server"
    cat >"$cache/bin/llama-server" <<WRAPPER
#!/bin/sh
GGML_BACKEND_PATH='$backend' exec '$loader' --library-path '$libraries:$libraries/llama' \\
    '$cache/sid/usr/bin/llama-server' "\$@"
WRAPPER
    chmod +x "$cache/bin/llama-server"
}

install_llama() {
    local found=${RHUMB_LLAMA_SERVER:-$(command -v llama-server || true)}
    if [ -n "$found" ]; then
        [ -x "$found" ] || fail "RHUMB_LLAMA_SERVER is $found, which is not a program that can be run"
        say "llama-server: using $found"
        [ "$found" -ef "$cache/bin/llama-server" ] || ln -sfn "$(realpath "$found")" "$cache/bin/llama-server"
    else
        [ -d "$cache/sid" ] || unpack_llama_from_sid
        write_llama_wrapper
    fi
    "$cache/bin/llama-server" --version >"$cache/llama-version" 2>&1 ||
        fail "llama-server does not start: $(tail -n 1 "$cache/llama-version")"
    say "llama-server: $(grep -m 1 version "$cache/llama-version")"
}

# A Python with packages: `install_python FOLDER PACKAGE...`. The stamp in it holds the pins, so that a changed pin installs again.
install_python() {
    local venv=$cache/$1 stamp=$cache/$1/rhumb-packages
    shift
    if [ "$(cat "$stamp" 2>/dev/null)" = "$*" ]; then
        say "python: $venv is complete"
        return
    fi
    command -v python3 >/dev/null || fail "python3 is missing: install Python 3.11 or newer"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "python3 is $(python3 -V), and 3.11 or newer is needed"
    python3 -c 'import ensurepip' 2>/dev/null || fail "Python's venv is missing: apt-get install python3-venv"
    say "python: installing $* (10 to 90 s)"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet "$@" >&2 || fail "pip could not install the packages; the lines above say why"
    printf '%s\n' "$*" >"$stamp"
}

# The same of Node: `install_node FOLDER PACKAGE...`.
install_node() {
    local folder=$cache/$1 stamp=$cache/$1/rhumb-packages
    shift
    if [ "$(cat "$stamp" 2>/dev/null)" = "$*" ]; then
        say "node: $folder is complete"
        return
    fi
    if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
        say "node: node or npm is missing, so the tests with clients of Node are skipped"
        return
    fi
    say "node: installing $* (5 to 60 s)"
    mkdir -p "$folder"
    npm install --prefix "$folder" --no-audit --no-fund --loglevel=error "$@" >&2 ||
        fail "npm could not install the packages; the lines above say why"
    printf '%s\n' "$*" >"$stamp"
}

mkdir -p "$cache/bin"
cache=$(realpath "$cache")
# Two runs at once would write into each other's half-made folders.
exec 9>"$cache/lock"
flock 9
install_llama
install_python venv "${python_packages[@]}"
install_node node "${node_packages[@]}"
if [ "${1:-}" = clients ]; then
    install_python clients "${python_clients[@]}"
    install_node node-clients "${node_clients[@]}"
fi
