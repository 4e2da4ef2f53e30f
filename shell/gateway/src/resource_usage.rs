//! What the process has to live on: memory, descriptors, and how much of them is used.

use std::fs;
use std::path::Path;

/// Bytes of memory that the process holds; 0 where the system does not tell.
pub(crate) fn memory_bytes() -> u64 {
    statm(1)
}

/// Bytes of address space that the process has mapped; 0 where the system does not tell.
pub(crate) fn mapped_bytes() -> u64 {
    statm(0)
}

fn statm(field: usize) -> u64 {
    let Ok(statm) = fs::read_to_string("/proc/self/statm") else { return 0 };
    let pages = statm.split_whitespace().nth(field).and_then(|p| p.parse::<u64>().ok()).unwrap_or(0);
    pages * page_bytes()
}

fn page_bytes() -> u64 {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|s| u64::try_from(s).ok()).unwrap_or(4_096)
}

/// The least memory limit of the control groups that the process is in, bytes.
pub(crate) fn memory_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    least_limit(&groups, Path::new("/sys/fs/cgroup"))
}

/// Bytes of address space that the process may map (`ulimit -v`). Beyond it memory is refused, which ends the process.
pub(crate) fn mapped_limit() -> Option<u64> {
    let (soft, _) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_AS).ok()?;
    Some(soft).filter(|bytes| *bytes < UNLIMITED)
}

/// Version 2 names one group (`0::/PATH`), version 1 one for each controller (`8:memory:/PATH`). In a container the
/// mount may begin at the group itself, so that its path leads nowhere and the root of the mount counts.
fn least_limit(groups: &str, mount: &Path) -> Option<u64> {
    let limits = groups.lines().flat_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let (root, file) = match controllers {
            "" => (mount.to_owned(), "memory.max"),
            c if c.split(',').any(|c| c == "memory") => (mount.join("memory"), "memory.limit_in_bytes"),
            _ => return Vec::new(),
        };
        // A limit further up binds too.
        let within = Path::new(path.trim_start_matches('/')).ancestors();
        within.filter_map(|p| fs::read_to_string(root.join(p).join(file)).ok()).collect()
    });
    let limit = |text: String| text.trim().parse::<u64>().ok().filter(|bytes| *bytes < UNLIMITED);
    limits.filter_map(limit).min()
}

/// Version 1 writes no limit as the largest number of whole pages.
const UNLIMITED: u64 = 1 << 60;

/// Descriptors that the process may have open.
pub(crate) fn descriptor_limit() -> usize {
    let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE);
    limit.map_or(1_024, |(soft, _)| usize::try_from(soft).unwrap_or(usize::MAX).min(DESCRIPTORS_MAX))
}

/// More descriptors than this are as good as no limit.
const DESCRIPTORS_MAX: usize = 1 << 24;

/// Descriptors that the process has open; `None` where the system does not tell.
pub(crate) fn descriptors_open() -> Option<usize> {
    // Linux from 6.2 on tells the number as the size of the folder; before, its entries have to be counted.
    match fs::metadata("/proc/self/fd").ok()?.len() {
        0 => Some(fs::read_dir("/proc/self/fd").ok()?.count()),
        open => usize::try_from(open).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(groups: &str, files: &[(&str, &str)]) -> Option<u64> {
        let mount = std::env::temp_dir().join(format!("rhumb-cgroup-{}-{}", std::process::id(), groups.len()));
        for (file, text) in files {
            let path = mount.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let found = least_limit(groups, &mount);
        let _ = fs::remove_dir_all(&mount);
        found
    }

    #[test]
    fn the_least_limit_up_the_tree_counts_in_both_versions() {
        let v2 = [("memory.max", "max\n"), ("a/memory.max", "1000\n"), ("a/b/memory.max", "2000\n")];
        assert_eq!(limit("0::/a/b\n", &v2), Some(1_000));
        assert_eq!(limit("0::/not/there\n", &[("memory.max", "700\n")]), Some(700), "inside a container");
        let v1 = [("memory/memory.limit_in_bytes", "9223372036854771712\n"), ("memory/x/memory.limit_in_bytes", "5\n")];
        assert_eq!(limit("9:cpu,memory:/x\n8:pids:/x\n", &v1), Some(5));
        assert_eq!(limit("9:memory:/\n\n", &v1[..1]), None);
        assert_eq!(limit("", &[]), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_process_is_seen() {
        assert!(memory_bytes() > 1 << 20 && mapped_bytes() > memory_bytes());
        let before = descriptors_open().unwrap();
        let held: Vec<_> = (0..50).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        assert!(descriptors_open().unwrap() >= before + 40 && descriptor_limit() > before);
        drop(held);
    }
}
