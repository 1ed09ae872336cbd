"""OpenStack releases as distributions ship them. A new release is one file here and one line in RELEASES."""

from components.releases.epoxy_debian13 import EPOXY_DEBIAN13
from components.releases.train_centos7 import TRAIN_CENTOS7
from components.releases.zed_debian12 import ZED_DEBIAN12
from components.services.model import Release

RELEASES: dict[str, Release] = {release.name: release for release in (ZED_DEBIAN12, TRAIN_CENTOS7, EPOXY_DEBIAN13)}
